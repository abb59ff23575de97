package drivertest_test

import (
	"errors"
	"testing"

	"github.com/holdfast-security/holdfast/app/access/accesstest"
	"github.com/holdfast-security/holdfast/app/seclog"
	"github.com/holdfast-security/holdfast/app/seclog/seclogtest"
	"github.com/holdfast-security/holdfast/app/session/sessiontest"
	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

func TestSessions(t *testing.T) {
	for _, kind := range drivertest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := drivertest.Require(t, kind)
			t.Run("access", func(t *testing.T) {
				accesstest.Run(t, func(t *testing.T) *store.Store { return drivertest.Store(t, server) })
			})
			t.Run("security log", func(t *testing.T) {
				seclogtest.Run(t, func(t *testing.T) *store.Store { return drivertest.Store(t, server) })
				t.Run("tampering", func(t *testing.T) { tampering(t, server) })
			})
			sessiontest.Run(t, func(t *testing.T) *store.Store { return drivertest.Store(t, server) })
		})
	}
}

// Whoever can write to the tables is found, and a head that was set back does not
// let the program write its entries twice.
func tampering(t *testing.T, server *drivertest.Server) {
	for what, statement := range map[string]string{
		"changed": "UPDATE holdfast_seclog SET line = '{}' WHERE seq = 2", "deleted": "DELETE FROM holdfast_seclog WHERE seq = 2",
		"renumbered": "UPDATE holdfast_seclog SET seq = 9 WHERE seq = 2", "hash": "UPDATE holdfast_seclog SET hash = mac WHERE seq = 4",
	} {
		db, err := server.Fresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		s := store.New(db, server.Kind.Dialect())
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		log := &seclog.Log{Store: s, Keys: seclogtest.Ring(t)}
		event := seclog.Event{What: "x", Outcome: seclog.Done}
		for range 4 {
			if err := log.Record(t.Context(), event); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := seclog.Verify(t.Context(), s, log.Keys); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{statement, "UPDATE holdfast_seclog_head SET seq = 2"} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := seclog.Verify(t.Context(), s, log.Keys); !errors.Is(err, seclog.ErrBroken) {
			t.Errorf("%s: %v", what, err)
		}
		if err := log.Record(t.Context(), event); err == nil {
			t.Errorf("%s: an entry was written over another one", what)
		}
	}
}
