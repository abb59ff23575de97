// Package accesstest is the suite of package access on a store: every role, every
// permission, everything that somebody owns, by session and by token.
//
//	accesstest.Run(t, func(t *testing.T) *memory.Store { return memory.New() })
//
// If a decision differs from the table in this package, the test fails and names it.
package accesstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/holdfast-security/holdfast/app/access"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/session"
)

// A Store is what the suite needs.
type Store interface {
	access.Directory
	login.Directory
	session.Store
}

var permissions = []access.Permission{"todo.read", "todo.write", "user.find", "roles.write"}

var roles = map[access.Role]access.Rights{
	"user":    {Own: []access.Permission{"todo.read", "todo.write"}},
	"support": {All: []access.Permission{"user.find"}, Own: []access.Permission{"todo.read"}},
	"auditor": {All: []access.Permission{"todo.read"}},
	"admin":   {All: []access.Permission{"user.find", "roles.write"}},
}

// want says for each role and permission whether it is granted for what is one's
// own, somebody else's and nobody's. Whatever is not in it is denied.
var want = map[string][3]bool{
	"user todo.read": {true, false, false}, "user todo.write": {true, false, false},
	"support todo.read": {true, false, false}, "support user.find": {true, true, true},
	"auditor todo.read": {true, true, true},
	"admin user.find":   {true, true, true}, "admin roles.write": {true, true, true},
}

// bearer is a verified token.
type bearer struct {
	account string
	roles   []access.Role
}

func (b bearer) Account() string      { return b.account }
func (b bearer) Roles() []access.Role { return b.roles }

// Run tries the decisions. open returns a fresh, empty store for each test.
func Run[S Store](t *testing.T, open func(t *testing.T) S) {
	t.Run("matrix", func(t *testing.T) { matrix(t, open(t)) })
	t.Run("roles", func(t *testing.T) { change(t, open(t)) })
	t.Run("roles under load", func(t *testing.T) { load(t, open(t)) })
}

func add(t *testing.T, s Store, name string) login.Account {
	t.Helper()
	a := login.NewAccount(login.ID(name), "", "")
	if err := s.AddAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

// loggedIn returns a request with a cookie of a session of this account.
func loggedIn(t *testing.T, s Store, key string) *http.Request {
	t.Helper()
	a, err := s.(interface {
		Account(context.Context, string) (login.Account, error)
	}).Account(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if _, err := (&session.Manager{Store: s}).Start(w, r, session.Proof{Account: a.Key, Epoch: a.Epoch, By: "password"}); err != nil {
		t.Fatal(err)
	}
	r.AddCookie(w.Result().Cookies()[0])
	return r
}

func matrix(t *testing.T, s Store) {
	policy, err := access.New(permissions, roles)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, role := range []access.Role{"user", "support", "auditor", "admin", "", "unknown", "USER", "user "} {
		me := add(t, s, "me as "+string(role)+"|")
		if role != "" {
			if err := s.SetRoles(t.Context(), me.Key, []access.Role{role}); err != nil {
				t.Fatal(err)
			}
		}
		sess, err := (&session.Manager{Store: s}).Check(loggedIn(t, s, me.Key))
		if err != nil {
			t.Fatal(err)
		}
		bySession, err := access.Identify(t.Context(), s, sess)
		if err != nil {
			t.Fatal(err)
		}
		byToken, err := access.IdentifyBearer(bearer{me.Key, []access.Role{role}})
		if err != nil {
			t.Fatal(err)
		}
		for by, who := range map[string]access.Identity{"session": bySession, "token": byToken, "nobody": {}} {
			for _, do := range append(permissions, "undeclared", "", "todo.*", "TODO.READ") {
				for i, owner := range []string{me.Key, "somebody else", ""} {
					expect := want[fmt.Sprint(role, " ", do)][i] && by != "nobody"
					err := policy.Check(who, do, access.Object{Owner: owner})
					if (err == nil) != expect || err != nil && !errors.Is(err, access.ErrDenied) {
						t.Errorf("%s by %s, %q to what %q owns: %v", role, by, do, owner, err)
					}
					if err := (*access.Policy)(nil).Check(who, do, access.Object{Owner: owner}); err == nil {
						t.Errorf("no policy grants %q", do)
					}
					checked++
				}
			}
		}
	}
	if checked != 8*3*8*3 {
		t.Errorf("%d decisions were checked", checked)
	}
}

// A change of roles acts at once, and ends the sessions.
func change(t *testing.T, s Store) {
	ctx := t.Context()
	me := add(t, s, "me")
	if got, err := s.Roles(ctx, me.Key); err != nil || len(got) != 0 {
		t.Errorf("a new account has %q, %v", got, err)
	}
	r := loggedIn(t, s, me.Key)
	m := &session.Manager{Store: s}
	for _, set := range [][]access.Role{{"admin", "user"}, {"user"}, {}, {"User", "user"}} {
		if err := s.SetRoles(ctx, me.Key, set); err != nil {
			t.Fatal(err)
		}
		got, err := s.Roles(ctx, me.Key)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, set) {
			t.Errorf("roles %q, %v, want %q", got, err, set)
		}
		if _, err := m.Check(r); !errors.Is(err, session.ErrNoSession) {
			t.Errorf("the session from before is good: %v", err)
		}
		r = loggedIn(t, s, me.Key)
	}
	for _, bad := range [][]access.Role{{""}, {"user", "user"}, {access.Role(make([]byte, access.MaxRole+1))}, make([]access.Role, access.MaxRoles+1)} {
		if err := s.SetRoles(ctx, me.Key, bad); !errors.Is(err, access.ErrPolicy) {
			t.Errorf("SetRoles(%.3q): %v", bad, err)
		}
	}
	if err := s.SetRoles(ctx, "nobody", nil); !errors.Is(err, login.ErrNoAccount) {
		t.Errorf("SetRoles of nobody: %v", err)
	}
	if got, err := s.Roles(ctx, me.Key); err != nil || len(got) != 2 {
		t.Errorf("what failed has changed the roles: %q, %v", got, err)
	}
}

// Two who set roles at once never leave a mixture.
func load(t *testing.T, s Store) {
	me := add(t, s, "me")
	sets := [][]access.Role{{"a", "b"}, {"c", "d"}}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := s.SetRoles(t.Context(), me.Key, sets[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got, err := s.Roles(t.Context(), me.Key)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, sets[0]) && !slices.Equal(got, sets[1]) {
		t.Errorf("roles %q, %v", got, err)
	}
}
