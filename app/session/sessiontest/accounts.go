package sessiontest

import (
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/session"
)

// anna2 adds another account.
func anna2(t *testing.T, s Store) login.Account {
	t.Helper()
	a := login.NewAccount(login.ID("eve "+t.Name()), "", "hash")
	if err := s.AddAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

func listAndEnd(t *testing.T, s Store) {
	ctx := t.Context()
	m := &session.Manager{Store: s}
	a, e := anna(t, s), anna2(t, s)
	mine, c := begin(t, m, a)
	second, c2 := begin(t, m, a)
	_, c3 := begin(t, m, a)
	eve, ce := begin(t, m, e)
	all, err := m.List(ctx, mine)
	if err != nil || len(all) != 3 {
		t.Fatalf("List: %d, %v", len(all), err)
	}
	for _, s := range all {
		if s.Account() != a.Key {
			t.Errorf("the list shows a session of %q", s.Account())
		}
	}
	// Somebody else's session does not end by its ID.
	if err := m.EndOther(ctx, eve, second.ID()); err != nil {
		t.Error(err)
	}
	alive(t, m, c2, true)
	if err := m.EndOther(ctx, mine, second.ID()); err != nil {
		t.Error(err)
	}
	alive(t, m, c2, false)
	if n, err := m.EndOthers(ctx, mine); err != nil || n != 1 {
		t.Errorf("EndOthers: %d, %v", n, err)
	}
	alive(t, m, c3, false)
	alive(t, m, c, true)
	if _, err := m.EndOthers(ctx, session.Session{}); err == nil {
		t.Error("nobody ended all others")
	}
	if n, err := s.EndSessions(ctx, a.Key, eve.ID()); err != nil || n != 1 {
		t.Errorf("EndSessions with another's ID to keep: %d, %v", n, err)
	}
	alive(t, m, c, false)
	alive(t, m, ce, true)
}

func tooMany(t *testing.T, s Store) {
	m := &session.Manager{Store: s, Max: 3}
	a := anna(t, s)
	var cookies []*http.Cookie
	for range 5 {
		_, c := begin(t, m, a)
		cookies = append(cookies, c)
	}
	for i, c := range cookies {
		alive(t, m, c, i >= 2)
	}
}

// What happens to the account ends its sessions at once, whoever else forgot to.
func accountChanges(t *testing.T, s Store) {
	ctx := t.Context()
	m := &session.Manager{Store: s}
	a := anna(t, s)
	_, c := begin(t, m, a)
	if err := s.SetPassword(ctx, a.Key, "new"); err != nil {
		t.Fatal(err)
	}
	alive(t, m, c, false)
	// A login that was verified before the change does not begin to live after it.
	_, stale := begin(t, m, a)
	alive(t, m, stale, false)
	a.Epoch++
	_, c = begin(t, m, a)
	alive(t, m, c, true)
	for _, off := range []bool{true, false} {
		if err := s.SetDisabled(ctx, a.Key, off); err != nil {
			t.Fatal(err)
		}
		alive(t, m, c, false)
	}
	if all, err := s.ListSessions(ctx, a.Key, time.Now()); err != nil || len(all) != 0 {
		t.Errorf("%d sessions are listed, %v", len(all), err)
	}
	if n, err := s.PruneSessions(ctx, time.Now()); err != nil || n == 0 {
		t.Errorf("PruneSessions dropped %d, %v", n, err)
	}
}

func prune(t *testing.T, s Store) {
	ctx, now, a := t.Context(), time.Now(), anna(t, s)
	for i, r := range []session.Record{
		{ID: "good", Expires: now.Add(time.Hour), Idle: time.Hour},
		{ID: "old", Expires: now, Idle: time.Hour},
		{ID: "idle", Expires: now.Add(time.Hour), Idle: 0},
		{ID: "of nobody", Account: "nobody", Expires: now.Add(time.Hour), Idle: time.Hour},
	} {
		r.Hash, r.Began, r.Seen = [32]byte{byte(i)}, now, now
		if r.Account == "" {
			r.Account = a.Key
		}
		if err := s.AddSession(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.PruneSessions(ctx, now); err != nil || n != 3 {
		t.Errorf("PruneSessions dropped %d, %v", n, err)
	}
	if all, err := s.ListSessions(ctx, a.Key, now); err != nil || len(all) != 1 || all[0].ID != "good" {
		t.Errorf("what stays: %+v, %v", all, err)
	}
}
