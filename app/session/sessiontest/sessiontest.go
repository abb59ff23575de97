// Package sessiontest is the suite of package session: what its manual promises,
// tried on a real store, also from many goroutines at a time.
//
//	sessiontest.Run(t, func(t *testing.T) *memory.Store { return memory.New() })
//
// If a promise is broken, the test fails and names it.
package sessiontest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/session"
)

// A Store is what the suite needs: sessions, and the accounts that they are of.
type Store interface {
	session.Store
	login.Directory
}

// A Transactor is a store of the type S with transactions.
type Transactor[S Store] interface {
	Store
	Tx(ctx context.Context, fn func(tx S) error) error
}

// Run tries sessions. open returns a fresh, empty store for each test.
func Run[S Transactor[S]](t *testing.T, open func(t *testing.T) S) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Store)
	}{
		{"records", records},
		{"fixation", fixation},
		{"reuse after logout", logout},
		{"rotation", rotation},
		{"parallel rotation", parallelRotation},
		{"rotation against end", rotationAgainstEnd},
		{"lifetimes", lifetimes},
		{"last seen", lastSeen},
		{"list and end", listAndEnd},
		{"too many", tooMany},
		{"account changes", accountChanges},
		{"prune", prune},
		{"store fails", storeFails},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
	t.Run("transactions", func(t *testing.T) { transactions(t, open(t)) })
}

// anna adds an account.
func anna(t *testing.T, s Store) login.Account {
	t.Helper()
	a := login.NewAccount(login.ID("anna "+t.Name()), "", "hash")
	if err := s.AddAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

// request returns one that carries these cookies.
func request(t *testing.T, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://todo.example.org/", nil)
	r.Header.Set("User-Agent", "Browser/1.0")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

// begin logs in and returns the cookie.
func begin(t *testing.T, m *session.Manager, a login.Account, cookies ...*http.Cookie) (session.Session, *http.Cookie) {
	t.Helper()
	w := httptest.NewRecorder()
	s, err := m.Start(w, request(t, cookies...), session.Proof{Account: a.Key, Epoch: a.Epoch, By: "password"})
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return s, cookie(t, w)
}

// cookie returns the one session cookie that an answer sets.
func cookie(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	var found []*http.Cookie
	for _, c := range w.Result().Cookies() {
		if c.Name == session.Cookie {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d session cookies in %q", len(found), w.Header())
	}
	return found[0]
}

// alive fails unless the cookie is worth a session, or none.
func alive(t *testing.T, m *session.Manager, c *http.Cookie, want bool) session.Session {
	t.Helper()
	s, err := m.Check(request(t, c))
	if want && err != nil || !want && !errors.Is(err, session.ErrNoSession) {
		t.Errorf("Check: %v, want a session: %v", err, want)
	}
	return s
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

// transactions ends sessions together with the change of a password, or not at all.
func transactions[S Transactor[S]](t *testing.T, s S) {
	ctx := t.Context()
	m := &session.Manager{Store: s}
	a := anna(t, s)
	kept, c1 := begin(t, m, a)
	_, c2 := begin(t, m, a)
	change := func(fail error) error {
		return s.Tx(ctx, func(tx S) error {
			if err := tx.SetPassword(ctx, a.Key, "new"); err != nil {
				return err
			}
			if n, err := tx.EndSessions(ctx, a.Key, kept.ID()); err != nil || n != 1 {
				t.Errorf("EndSessions: %d, %v", n, err)
			}
			return fail
		})
	}
	failed := errors.New("failed")
	if err := change(failed); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	alive(t, m, c1, true)
	alive(t, m, c2, true)
	if err := change(nil); err != nil {
		t.Fatal(err)
	}
	alive(t, m, c1, true)
	alive(t, m, c2, false)
	err := s.Tx(ctx, func(tx S) error { _, err := tx.EndSessions(ctx, a.Key, ""); return err })
	if err != nil {
		t.Fatal(err)
	}
	alive(t, m, c1, false)
}

func lifetimes(t *testing.T, s Store) {
	a, now := anna(t, s), time.Now()
	m := &session.Manager{Store: s}
	for i, c := range []struct {
		name          string
		seen, expires time.Duration // from now
		want          bool
	}{
		{"in use", -10 * time.Second, time.Hour, true},
		{"just within the idle time", -29 * time.Minute, time.Hour, true},
		{"idle for too long", -30*time.Minute - time.Second, time.Hour, false},
		{"in use, but too old", -10 * time.Second, -time.Second, false},
		{"too old in this moment", -10 * time.Second, 0, false},
	} {
		token, hash := token(byte(i + 1))
		err := s.AddSession(t.Context(), session.Record{
			Hash: hash, ID: c.name, Account: a.Key, Began: now.Add(-11 * time.Hour),
			Seen: now.Add(c.seen), Expires: now.Add(c.expires), Idle: 30 * time.Minute, By: "password",
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Check(request(t, token)); (err == nil) != c.want || err != nil && !errors.Is(err, session.ErrNoSession) {
			t.Errorf("%s: %v", c.name, err)
		}
		all, err := s.ListSessions(t.Context(), a.Key, now)
		if err != nil {
			t.Fatal(err)
		}
		listed := false
		for _, r := range all {
			listed = listed || r.ID == c.name
		}
		if listed != c.want {
			t.Errorf("%s: listed: %v", c.name, listed)
		}
	}
	// Neither use nor a new token makes the whole life longer.
	begun, _ := begin(t, m, a)
	w := httptest.NewRecorder()
	rotated, err := m.Rotate(t.Context(), w, begun, "password totp")
	if err != nil || !rotated.Expires().Equal(begun.Expires()) || rotated.Expires().Sub(rotated.Began()) != session.DefaultLifetime {
		t.Errorf("after a rotation it lasts until %v, before until %v, %v", rotated.Expires(), begun.Expires(), err)
	}
}
