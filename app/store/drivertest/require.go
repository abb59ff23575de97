package drivertest

import (
	"errors"
	"os"
	"testing"

	"github.com/holdfast-security/holdfast/app/store"
)

// Require starts a server for this test and stops it after it. It skips the test
// if the server is not installed, or fails it if HOLDFAST_MUST_RUN is 1.
func Require(t testing.TB, kind Kind) *Server {
	t.Helper()
	s, err := Start(t.Context(), kind, false)
	if errors.Is(err, ErrMissing) && os.Getenv("HOLDFAST_MUST_RUN") != "1" {
		t.Skipf("%s: %v", kind, err)
	}
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stopping %s: %v", kind, err)
		}
	})
	return s
}

// Store returns a store in a new database of the server, migrated and empty.
func Store(t testing.TB, s *Server) *store.Store {
	t.Helper()
	db, err := s.Fresh(t.Context())
	if err != nil {
		t.Fatalf("a new database on %s: %v", s.Kind, err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing a database on %s: %v", s.Kind, err)
		}
	})
	st := store.New(db, s.Kind.Dialect())
	if err := st.Migrate(t.Context()); err != nil {
		t.Fatalf("migrating a database on %s: %v", s.Kind, err)
	}
	return st
}
