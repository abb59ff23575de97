// Package storetest is the conformance suite of every store: what the interfaces
// of packages login, throttle and outbox promise, tried on a real one, also from
// many goroutines at a time.
//
//	storetest.Run(t, func(t *testing.T) storetest.Store { return memory.New() })
//
// If a store breaks a promise, the test fails and names it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// A Store is everything that a store implements.
type Store interface {
	login.Accounts
	login.Directory
	login.Links
	throttle.Store
	outbox.Queue
}

// A Transactor is a store of the type S with transactions.
type Transactor[S Store] interface {
	Store
	Tx(ctx context.Context, fn func(tx S) error) error
}

// Run tries a store. open returns a fresh, empty one for each test.
func Run[S Transactor[S]](t *testing.T, open func(t *testing.T) S) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Store)
	}{
		{"accounts", accounts},
		{"ids are bytes", idsAreBytes},
		{"one of many adds", oneAdds},
		{"compare and swap", compareAndSwap},
		{"swap against change", swapAgainstChange},
		{"buckets", buckets},
		{"bucket under load", bucketUnderLoad},
		{"links", links},
		{"one of many spends", oneSpends},
		{"mails", mails},
		{"leases", leases},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
	t.Run("transactions", func(t *testing.T) { transactions(t, open(t)) })
}

func add(t *testing.T, s Store, a login.Account) login.Account {
	t.Helper()
	if err := s.AddAccount(t.Context(), a); err != nil {
		t.Fatalf("AddAccount(%q): %v", a.ID, err)
	}
	return a
}

func accounts(t *testing.T, s Store) {
	ctx := t.Context()
	if _, err := s.FindAccount(ctx, "anna"); !errors.Is(err, login.ErrNoAccount) {
		t.Errorf("FindAccount in an empty store: %v", err)
	}
	anna := login.NewAccount("anna@example.org", "anna@example.org", "$x$1")
	anna.Epoch = 7
	add(t, s, anna)
	ben := add(t, s, login.NewAccount("ben", "", ""))

	for _, want := range []login.Account{anna, ben} {
		if got, err := s.FindAccount(ctx, want.ID); err != nil || got != want {
			t.Errorf("FindAccount(%q) = %+v, %v", want.ID, got, err)
		}
		if got, err := s.Account(ctx, want.Key); err != nil || got != want {
			t.Errorf("Account(%q) = %+v, %v", want.Key, got, err)
		}
	}
	if err := s.AddAccount(ctx, login.NewAccount("ben", "other@example.org", "")); !errors.Is(err, login.ErrTaken) {
		t.Errorf("a second ben: %v", err)
	}
	if err := s.AddAccount(ctx, login.Account{Key: ben.Key, ID: "carl"}); !errors.Is(err, login.ErrTaken) {
		t.Errorf("a second account with one key: %v", err)
	}
	if err := s.SetPassword(ctx, anna.Key, "$x$2"); err != nil {
		t.Error(err)
	}
	if err := s.SetDisabled(ctx, anna.Key, true); err != nil {
		t.Error(err)
	}
	anna.Password, anna.Disabled, anna.Epoch = "$x$2", true, 9
	if got, err := s.Account(ctx, anna.Key); err != nil || got != anna {
		t.Errorf("after the changes: %+v, %v", got, err)
	}
	if got, err := s.Account(ctx, ben.Key); err != nil || got != ben {
		t.Errorf("another account has changed: %+v, %v", got, err)
	}
	// The same again is a change too: sessions end.
	if err := s.SetPassword(ctx, anna.Key, "$x$2"); err != nil {
		t.Errorf("the same hash again: %v", err)
	}
	for what, err := range map[string]error{
		"SetPassword": s.SetPassword(ctx, "nobody", "x"),
		"SetDisabled": s.SetDisabled(ctx, "nobody", true),
	} {
		if !errors.Is(err, login.ErrNoAccount) {
			t.Errorf("%s of nobody: %v", what, err)
		}
	}
	if _, err := s.Account(ctx, "nobody"); !errors.Is(err, login.ErrNoAccount) {
		t.Errorf("Account of nobody: %v", err)
	}
	eachPassword(t, s)
}

func eachPassword(t *testing.T, s Store) {
	seen := map[string]int{}
	err := s.EachPassword(t.Context(), func(stored string) error { seen[stored]++; return nil })
	if err != nil || len(seen) != 2 || seen[""] != 1 || seen["$x$2"] != 1 {
		t.Errorf("EachPassword visits %v, %v", seen, err)
	}
	stop, visits := errors.New("stop"), 0
	err = s.EachPassword(t.Context(), func(string) error { visits++; return stop })
	if !errors.Is(err, stop) || visits != 1 {
		t.Errorf("EachPassword with an error after %d: %v", visits, err)
	}
}

// Whatever a database's collation thinks of them, these are different names.
func idsAreBytes(t *testing.T, s Store) {
	ids := []login.ID{
		"jose", "jose ", " jose", "Jose", "JOSE", "jos\u00e9", "jose\u0301", "jo\u017fe", "\uff4a\uff4f\uff53\uff45",
		"stra\u00dfe", "strasse", "\u0131", "i", "\u0130", "i\u0307", "\u00e5", "a\u030a", "\u212b", "jose\t", "jose\u00a0", "jose\u200b",
		"\ufb01", "fi", "\u03c3", "\u03c2", "\u00b5", "\u03bc", "o\u0308", "\u00f6", "o", "a\\b", "a%", "a_", "a'b", `a"b`, "\U0001f600",
	}
	for _, id := range ids {
		add(t, s, login.NewAccount(id, "", string("hash of "+id)))
	}
	for _, id := range ids {
		got, err := s.FindAccount(t.Context(), id)
		if err != nil || got.ID != id || got.Password != string("hash of "+id) {
			t.Errorf("FindAccount(%+q) = %+q, %v", id, got.ID, err)
		}
	}
	for _, id := range []login.ID{"", "jos", "jose  ", "JOSe", "i\u0307 ", "a%%", "%"} {
		if got, err := s.FindAccount(t.Context(), id); !errors.Is(err, login.ErrNoAccount) {
			t.Errorf("FindAccount(%+q) = %+q, %v", id, got.ID, err)
		}
	}
}

func oneAdds(t *testing.T, s Store) {
	var added, taken atomic.Int64
	together(16, func(i int) {
		err := s.AddAccount(t.Context(), login.NewAccount("anna", "", fmt.Sprint(i)))
		switch {
		case err == nil:
			added.Add(1)
		case errors.Is(err, login.ErrTaken):
			taken.Add(1)
		default:
			t.Error(err)
		}
	})
	if added.Load() != 1 || taken.Load() != 15 {
		t.Errorf("%d added, %d taken", added.Load(), taken.Load())
	}
}

func compareAndSwap(t *testing.T, s Store) {
	ctx := t.Context()
	a := add(t, s, login.NewAccount("anna", "", "old"))
	for _, c := range []struct {
		key, old string
		want     bool
	}{
		{a.Key, "other", false}, {a.Key, "OLD", false}, {a.Key, "old ", false}, {a.Key, "", false},
		{"nobody", "old", false}, {a.Key, "old", true}, {a.Key, "old", false},
	} {
		got, err := s.UpgradePassword(ctx, c.key, c.old, "new")
		if err != nil || got != c.want {
			t.Errorf("UpgradePassword(%q from %q) = %v, %v", c.key, c.old, got, err)
		}
	}
	a.Password = "new"
	if got, err := s.Account(ctx, a.Key); err != nil || got != a {
		t.Errorf("after the upgrade: %+v, %v", got, err)
	}
	var won atomic.Int64
	together(16, func(i int) {
		ok, err := s.UpgradePassword(ctx, a.Key, "new", fmt.Sprint("newer ", i))
		if err != nil {
			t.Error(err)
		}
		if ok {
			won.Add(1)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d of 16 swapped", won.Load())
	}
}

// Whoever is first: what stays is the changed password, never the old one in a
// new dress.
func swapAgainstChange(t *testing.T, s Store) {
	for round := range 20 {
		a := add(t, s, login.NewAccount(login.ID(fmt.Sprint("anna", round)), "", "old"))
		together(4, func(i int) {
			var err error
			if i == 0 {
				err = s.SetPassword(t.Context(), a.Key, "changed")
			} else {
				_, err = s.UpgradePassword(t.Context(), a.Key, "old", "old, upgraded")
			}
			if err != nil {
				t.Error(err)
			}
		})
		if got, err := s.Account(t.Context(), a.Key); err != nil || got.Password != "changed" || got.Epoch != 1 {
			t.Fatalf("round %d: %+v, %v", round, got, err)
		}
	}
}

func together(n int, fn func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() { <-start; fn(i) })
	}
	close(start)
	all.Wait()
}
