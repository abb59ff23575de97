package sessiontest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/session"
)

// token makes a cookie and the hash that its record has.
func token(n byte) (*http.Cookie, [32]byte) {
	b := [32]byte{n, 1, 2, 3}
	return &http.Cookie{Name: session.Cookie, Value: base64.RawURLEncoding.EncodeToString(b[:])}, sha256.Sum256(b[:])
}

func records(t *testing.T, s Store) {
	ctx, a := t.Context(), anna(t, s)
	now := time.Now().Truncate(time.Microsecond)
	want := session.Record{
		Hash: [32]byte{1, 0, 255}, ID: "id", Account: a.Key, Began: now.Add(-time.Hour), Seen: now.Add(-time.Minute),
		Proven: now.Add(-time.Second), Expires: now.Add(time.Hour), Idle: time.Minute*30 + time.Microsecond,
		By: "password totp", Addr: "2001:db8::1", Browser: "Gr\u00fc\u00dfe '\"\\?%", Remember: true,
	}
	if err := s.AddSession(ctx, want); err != nil {
		t.Fatal(err)
	}
	got, err := s.FindSession(ctx, want.Hash)
	for _, at := range []*time.Time{&got.Began, &got.Seen, &got.Proven, &got.Expires, &want.Began, &want.Seen, &want.Proven, &want.Expires} {
		*at = time.UnixMicro(at.UnixMicro())
	}
	if err != nil || got != want {
		t.Errorf("FindSession:\n%+v, %v, want\n%+v", got, err, want)
	}
	if err := s.AddSession(ctx, want); err == nil {
		t.Error("a second session with one hash")
	}
	if _, err := s.FindSession(ctx, [32]byte{1, 0, 254}); !errors.Is(err, session.ErrNoSession) {
		t.Errorf("FindSession of another hash: %v", err)
	}
}

// Whatever cookie is planted before the login is worth nothing after it.
func fixation(t *testing.T, s Store) {
	m := &session.Manager{Store: s}
	a, eve := anna(t, s), func() (c *http.Cookie) {
		a := anna2(t, s)
		_, c = begin(t, m, a)
		return c
	}
	for what, planted := range map[string]*http.Cookie{
		"made up": {Name: session.Cookie, Value: strings.Repeat("A", 43)}, "no token": {Name: session.Cookie, Value: "x"},
		"of another person": eve(),
	} {
		got, c := begin(t, m, a, planted)
		if c.Value == planted.Value || got.Account() != a.Key {
			t.Errorf("%s: the planted token was adopted", what)
		}
		alive(t, m, planted, false)
		if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 {
			t.Errorf("cookie %v", c)
		}
		if s := alive(t, m, c, true); s.Account() != a.Key {
			t.Errorf("the session is of %q", s.Account())
		}
		// Two cookies of the name: nobody chooses.
		if _, err := m.Check(request(t, c, planted)); !errors.Is(err, session.ErrAmbiguous) || !errors.Is(err, session.ErrNoSession) {
			t.Errorf("two cookies: %v", err)
		}
	}
	for _, value := range []string{"", "A", strings.Repeat("A", 42), strings.Repeat("A", 44), strings.Repeat("_", 43), strings.Repeat("=", 43)} {
		alive(t, m, &http.Cookie{Name: session.Cookie, Value: value}, false)
	}
}

func logout(t *testing.T, s Store) {
	m := &session.Manager{Store: s}
	_, c := begin(t, m, anna(t, s))
	for range 2 { // the second has nothing to do
		w := httptest.NewRecorder()
		if err := m.End(w, request(t, c)); err != nil {
			t.Error(err)
		}
		if gone := cookie(t, w); gone.MaxAge >= 0 || gone.Value != "" || w.Header().Get("Clear-Site-Data") == "" {
			t.Errorf("the cookie stays: %v", gone)
		}
		alive(t, m, c, false)
	}
}

func rotation(t *testing.T, s Store) {
	m := &session.Manager{Store: s}
	begun, old := begin(t, m, anna(t, s))
	w := httptest.NewRecorder()
	got, err := m.Rotate(t.Context(), w, begun, "password totp")
	if err != nil {
		t.Fatal(err)
	}
	c := cookie(t, w)
	alive(t, m, old, false)
	now := alive(t, m, c, true)
	_, by := now.Proven()
	if c.Value == old.Value || now.ID() != begun.ID() || got.ID() != begun.ID() || by != "password totp" || !now.Began().Equal(begun.Began()) {
		t.Errorf("after the rotation: %+v, before: %+v", now, begun)
	}
	if _, err := m.Rotate(t.Context(), httptest.NewRecorder(), begun, ""); !errors.Is(err, session.ErrNoSession) {
		t.Errorf("Rotate of what was replaced: %v", err)
	}
}

func parallelRotation(t *testing.T, s Store) {
	m := &session.Manager{Store: s}
	begun, old := begin(t, m, anna(t, s))
	var mu sync.Mutex
	var won []*http.Cookie
	together(16, func(int) {
		w := httptest.NewRecorder()
		_, err := m.Rotate(t.Context(), w, begun, "")
		switch {
		case err == nil:
			mu.Lock()
			won = append(won, cookie(t, w))
			mu.Unlock()
		case !errors.Is(err, session.ErrNoSession):
			t.Error(err)
		case w.Header().Get("Set-Cookie") != "":
			t.Error("a loser sets a cookie, which may overwrite the winner's")
		}
	})
	if len(won) != 1 {
		t.Fatalf("%d of 16 have a new token", len(won))
	}
	alive(t, m, old, false)
	alive(t, m, won[0], true)
	if all, err := m.List(t.Context(), begun); err != nil || len(all) != 1 {
		t.Errorf("%d sessions after it, %v", len(all), err)
	}
	// A request with the old token does not take the new cookie away.
	w := httptest.NewRecorder()
	m.Handler(http.NotFoundHandler()).ServeHTTP(w, request(t, old))
	if w.Header().Get("Set-Cookie") != "" {
		t.Error("a late request removes the cookie")
	}
}

// A session that has ended does not come back by a token that was on its way.
func rotationAgainstEnd(t *testing.T, s Store) {
	m := &session.Manager{Store: s}
	a := anna(t, s)
	for range 10 {
		begun, old := begin(t, m, a)
		var next *http.Cookie
		together(3, func(i int) {
			switch i {
			case 0:
				w := httptest.NewRecorder()
				if _, err := m.Rotate(t.Context(), w, begun, ""); err == nil {
					next = cookie(t, w)
				} else if !errors.Is(err, session.ErrNoSession) {
					t.Error(err)
				}
			case 1:
				if err := m.EndOther(t.Context(), begun, begun.ID()); err != nil {
					t.Error(err)
				}
			case 2:
				if _, err := s.TouchSession(t.Context(), [32]byte{}, time.Now(), time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
		alive(t, m, old, false)
		if next != nil {
			alive(t, m, next, false)
		}
	}
}

func lastSeen(t *testing.T, s Store) {
	a, now := anna(t, s), time.Now()
	c, hash := token(9)
	add := session.Record{Hash: hash, ID: "i", Account: a.Key, Began: now, Seen: now.Add(-61 * time.Second), Expires: now.Add(time.Hour), Idle: time.Hour}
	if err := s.AddSession(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	m, other := &session.Manager{Store: s}, &session.Manager{Store: s} // two processes
	together(16, func(i int) {
		for range 5 {
			if _, err := []*session.Manager{m, other}[i%2].Check(request(t, c)); err != nil {
				t.Error(err)
			}
		}
	})
	if n := m.Stats().Touched + other.Stats().Touched; n != 1 || m.Stats().Found != 40 {
		t.Errorf("80 requests within a minute wrote %d times, %+v", n, m.Stats())
	}
	if r, err := s.FindSession(t.Context(), hash); err != nil || r.Seen.Before(now.Truncate(time.Microsecond)) {
		t.Errorf("seen %v, %v", r.Seen, err)
	}
}

// broken is a store of which some methods fail.
type broken struct {
	session.Store
	fails string
}

var errDown = errors.New("the database is down")

func (b broken) FindSession(ctx context.Context, h [32]byte) (session.Record, error) {
	if b.fails == "find" {
		return session.Record{}, errDown
	}
	return b.Store.FindSession(ctx, h)
}

func (b broken) TouchSession(ctx context.Context, h [32]byte, now, before time.Time) (bool, error) {
	if b.fails == "touch" {
		return false, errDown
	}
	return b.Store.TouchSession(ctx, h, now, before)
}

func (b broken) AddSession(ctx context.Context, r session.Record) error {
	if b.fails == "add" {
		return errDown
	}
	return b.Store.AddSession(ctx, r)
}

func (b broken) EndSession(ctx context.Context, account, id string) error {
	if b.fails == "end" {
		return errDown
	}
	return b.Store.EndSession(ctx, account, id)
}

func (b broken) ListSessions(ctx context.Context, account string, now time.Time) ([]session.Record, error) {
	if b.fails == "list" {
		return nil, errDown
	}
	return b.Store.ListSessions(ctx, account, now)
}

// Nobody is served, let in, or told that they are out when that is not known.
func storeFails(t *testing.T, s Store) {
	a, now := anna(t, s), time.Now()
	c, hash := token(5)
	add := session.Record{Hash: hash, ID: "i", Account: a.Key, Began: now, Seen: now.Add(-2 * time.Minute), Expires: now.Add(time.Hour), Idle: time.Hour}
	if err := s.AddSession(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	var served atomic.Int64
	page := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) })
	for _, fails := range []string{"find", "touch"} {
		m := &session.Manager{Store: broken{s, fails}}
		if _, err := m.Check(request(t, c)); !errors.Is(err, errDown) || errors.Is(err, session.ErrNoSession) {
			t.Errorf("%s: Check: %v", fails, err)
		}
		for _, h := range []http.Handler{m.Handler(page), m.Require(page)} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request(t, c))
			if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "database") || served.Load() != 0 {
				t.Errorf("%s: status %d, %q, served %d", fails, w.Code, w.Body, served.Load())
			}
		}
	}
	for _, fails := range []string{"find", "end", "add", "list"} {
		w := httptest.NewRecorder()
		_, err := (&session.Manager{Store: broken{s, fails}}).Start(w, request(t, c), session.Proof{Account: a.Key})
		if !errors.Is(err, errDown) || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: Start: %v, cookie %q", fails, err, w.Header().Get("Set-Cookie"))
		}
		if fails == "end" { // the cookie goes, and the caller knows that the session stayed
			w := httptest.NewRecorder()
			err := (&session.Manager{Store: broken{s, fails}}).End(w, request(t, c))
			if !errors.Is(err, errDown) || cookie(t, w).MaxAge >= 0 {
				t.Errorf("End: %v", err)
			}
		}
	}
	if all, err := s.ListSessions(t.Context(), a.Key, now); err != nil || len(all) != 0 {
		t.Errorf("failed logins left %d sessions, %v", len(all), err) // "add" has ended the one of the cookie
	}
}
