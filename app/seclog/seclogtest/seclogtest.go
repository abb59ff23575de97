// Package seclogtest is the suite of package seclog on a store: one chain, whoever
// writes to it at the same time.
//
//	seclogtest.Run(t, func(t *testing.T) *memory.Store { return memory.New() })
//
// If a promise is broken, the test fails and names it.
package seclogtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/seclog"
)

// A Transactor is a store of the type S with transactions.
type Transactor[S seclog.Store] interface {
	seclog.Store
	Tx(ctx context.Context, fn func(tx S) error) error
}

// Run tries the log. open returns a fresh, empty store for each test.
func Run[S Transactor[S]](t *testing.T, open func(t *testing.T) S) {
	t.Run("chain", func(t *testing.T) { chain(t, open(t)) })
	t.Run("many writers", func(t *testing.T) { manyWriters(t, open(t)) })
	t.Run("transactions", func(t *testing.T) { transactions(t, open(t)) })
	t.Run("dropped", func(t *testing.T) { dropped(t, open(t)) })
}

// Ring returns a fresh ring.
func Ring(t testing.TB) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// Hostile are names that try to be more than a name.
var Hostile = []string{
	"anna\n{\"seq\":99,\"what\":\"forged\"}", "anna\r\nlevel=INFO msg=forged", `","outcome":"done","x":"`, "a\x00b\x1b[2Jc",
	"\u2028x\u2029", "\u202egpj.exe", "\xff\xfe broken", strings.Repeat("long ", 1000), "back\\slash \\n", "'; DROP TABLE holdfast_seclog; --", "?", "\U0001f600 gr\u00fc\u00dfe",
}

func chain(t *testing.T, s seclog.Store) {
	var heads []seclog.Head
	log := &seclog.Log{Store: s, Keys: Ring(t), OnHead: func(h seclog.Head) { heads = append(heads, h) }}
	for _, name := range Hostile {
		e := seclog.Event{What: "login", Outcome: seclog.Refused, Who: "account 1", Detail: map[string]string{"name": name}}
		if err := log.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	r, err := seclog.Verify(t.Context(), s, log.Keys, heads...)
	if n := int64(len(Hostile)); err != nil || r != (seclog.Report{Entries: n, First: 1, Last: n, Kept: n}) {
		t.Errorf("Verify: %+v, %v", r, err)
	}
	all, err := s.Entries(t.Context(), 3, 4)
	if err != nil || len(all) != 4 || all[0].Seq != 4 || all[3].Head != heads[6] {
		t.Errorf("Entries: %+v, %v", all, err)
	}
}

func manyWriters(t *testing.T, s seclog.Store) {
	keys := Ring(t)
	var all sync.WaitGroup
	for i := range 8 {
		log := &seclog.Log{Store: s, Keys: keys}
		all.Go(func() {
			for n := range 8 {
				if err := log.Record(t.Context(), seclog.Event{What: fmt.Sprint(i, " ", n), Outcome: seclog.Done}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if r, err := seclog.Verify(t.Context(), s, keys); err != nil || r.Entries != 64 || r.Last != 64 {
		t.Errorf("Verify: %+v, %v", r, err)
	}
}

func transactions[S Transactor[S]](t *testing.T, s S) {
	ctx := t.Context()
	log := &seclog.Log{Store: s, Keys: Ring(t)}
	failed := errors.New("failed")
	for i, want := range []error{nil, failed, nil, failed} {
		err := s.Tx(ctx, func(tx S) error {
			if err := log.In(ctx, tx, seclog.Event{What: fmt.Sprint(i), Outcome: seclog.Done}); err != nil {
				t.Error(err)
			}
			return want
		})
		if !errors.Is(err, want) {
			t.Error(err)
		}
	}
	if r, err := seclog.Verify(ctx, s, log.Keys); err != nil || r.Entries != 2 || r.Last != 2 {
		t.Errorf("Verify: %+v, %v", r, err)
	}
	if err := s.AppendEntry(ctx, func(int64, [32]byte) (seclog.Entry, error) { return seclog.Entry{}, failed }); !errors.Is(err, failed) {
		t.Errorf("AppendEntry: %v", err)
	}
	if err := log.Record(ctx, seclog.Event{What: "after", Outcome: seclog.Done}); err != nil {
		t.Error(err)
	}
}

func dropped(t *testing.T, s seclog.Store) {
	ctx := t.Context()
	var heads []seclog.Head
	log := &seclog.Log{Store: s, Keys: Ring(t), OnHead: func(h seclog.Head) { heads = append(heads, h) }}
	for range 6 {
		if err := log.Record(ctx, seclog.Event{What: "x", Outcome: seclog.Done}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.DropEntries(ctx, 3); err != nil || n != 3 {
		t.Errorf("DropEntries: %d, %v", n, err)
	}
	if r, err := seclog.Verify(ctx, s, log.Keys, heads[2]); err != nil || r.First != 4 || r.Entries != 3 || r.Kept != 3 {
		t.Errorf("with the head of the last dropped one: %+v, %v", r, err)
	}
	for what, kept := range map[string][]seclog.Head{"none": nil, "an earlier one": heads[1:2], "a later one": heads[4:5], "too much was dropped": heads[1:3]} {
		if _, err := seclog.Verify(ctx, s, log.Keys, kept...); !errors.Is(err, seclog.ErrBroken) {
			t.Errorf("kept head: %s: %v", what, err)
		}
	}
}
