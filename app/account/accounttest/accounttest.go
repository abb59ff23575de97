// Package accounttest is the suite of package account: its flows and how they are
// abused, tried on a real store.
//
//	accounttest.Run(t, func(t *testing.T) *store.Store { ... })
//
// If a promise is broken, the test fails and names it.
package accounttest

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/account"
	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/recovery"
	"github.com/holdfast-security/holdfast/app/session"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// A Store is what the suite needs of a store beside what accounts need.
type Store[S any] interface {
	account.Store[S]
	login.Accounts
	session.Holder
	throttle.Store
	outbox.Queue
}

// Run tries accounts. open makes a fresh, empty store for each test.
func Run[S Store[S]](t *testing.T, open func(t *testing.T) S) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *program[S])
	}{
		{"register", register[S]},
		{"same answer", sameAnswer[S]},
		{"second factor", secondFactor[S]},
		{"step-up", stepUp[S]},
		{"change password", changePassword[S]},
		{"change address", changeAddress[S]},
		{"address taken meanwhile", takenMeanwhile[S]},
		{"lost second factor", lost[S]},
		{"lost and kept", kept[S]},
		{"export and close", leave[S]},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t, open(t))) })
	}
}

// A program is accounts with everything they need.
type program[S Store[S]] struct {
	*account.Service[S]
	hits int // addresses used
}

const (
	deadline = 100 * time.Millisecond
	first    = "the first words of a user"
	later    = "other words that came later"
)

func start[S Store[S]](t *testing.T, s S) *program[S] {
	t.Helper()
	keys, err := keyring.New([]byte("a secret of thirty-two bytes or more"))
	if err != nil {
		t.Fatal(err)
	}
	hasher := &password.Hasher{
		Preferred: password.Argon2id{Memory: 256, Time: 1, InsecureWeak: true},
		Gate:      &gate.Gate{Queue: 100, Wait: time.Minute},
	}
	limiter := &throttle.Limiter{Store: s, Keys: keys}
	p := &program[S]{Service: &account.Service[S]{
		Store: s, Hasher: hasher, Throttle: limiter,
		Login:   &login.Service{Accounts: s, Hasher: hasher, Throttle: limiter, Deadline: time.Millisecond},
		Second:  &mfa.Service[S]{Store: s, Keys: keys, Throttle: limiter},
		Program: "To-do", BaseURL: "https://todo.example.org/", Deadline: deadline,
	}}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// addr is a fresh one, so that no network is used up.
func (p *program[S]) addr() netip.Addr {
	p.hits++
	return netip.AddrFrom4([4]byte{10, 0, byte(p.hits >> 8), byte(p.hits)})
}

// mails takes all mails out of the outbox.
func (p *program[S]) mails(t *testing.T) (all []outbox.Mail) {
	t.Helper()
	_, err := outbox.Deliver(t.Context(), p.Store, func(_ context.Context, m outbox.Mail) error {
		all = append(all, m)
		return nil
	}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// told takes all mails and compares who got what, oldest first.
func (p *program[S]) told(t *testing.T, want ...string) []outbox.Mail {
	t.Helper()
	all := p.mails(t)
	var got []string
	for _, m := range all {
		got = append(got, m.To+" "+strings.TrimPrefix(m.Subject, "To-do: "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("mails %q, want %q", got, want)
	}
	return all
}

// token returns that of the link in a mail.
func token(t *testing.T, m outbox.Mail, page string) string {
	t.Helper()
	_, link, ok := strings.Cut(m.Text, "https://todo.example.org"+page+"?")
	if !ok {
		t.Fatalf("no link to %s in %q", page, m.Text)
	}
	v, err := url.ParseQuery(strings.TrimSpace(link))
	if err != nil {
		t.Fatal(err)
	}
	return v.Get("token")
}

// join registers somebody and returns the account and a fresh session.
func (p *program[S]) join(t *testing.T, mail string) (login.Account, who) {
	t.Helper()
	if err := p.Register(t.Context(), mail, p.addr()); err != nil {
		t.Fatal(err)
	}
	all := p.told(t, mail+" Your registration")
	a, err := p.Finish(t.Context(), token(t, all[0], account.RegisterPage), first)
	if err != nil {
		t.Fatal(err)
	}
	return a, p.session(t, a, "1", "password")
}

// who is somebody that is logged in, as package session has it.
type who struct {
	r session.Record
}

func (w who) Account() string             { return w.r.Account }
func (w who) ID() string                  { return w.r.ID }
func (w who) Proven() (time.Time, string) { return w.r.Proven, w.r.By }

func (p *program[S]) session(t *testing.T, a login.Account, id, by string) who {
	t.Helper()
	now := time.Now()
	r := session.Record{
		Hash: recovery.Hash(a.Key + id), ID: id, Account: a.Key, Epoch: a.Epoch, By: by,
		Began: now, Seen: now, Proven: now, Expires: now.Add(time.Hour), Idle: time.Hour,
	}
	if err := p.Store.AddSession(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return who{r}
}

func (p *program[S]) alive(t *testing.T, w who) bool {
	t.Helper()
	_, err := p.Store.FindSession(t.Context(), w.r.Hash)
	if err != nil && !errors.Is(err, session.ErrNoSession) {
		t.Fatal(err)
	}
	return err == nil
}

func (p *program[S]) enter(ctx context.Context, id, pw string) (account.Entered, error) {
	return p.Enter(ctx, login.Attempt{ID: id, Password: pw, Addr: p.addr()})
}

// factor gives an account a second factor and returns its recovery codes and a
// session that has shown it.
func (p *program[S]) factor(t *testing.T, a login.Account, w who) ([]string, who) {
	t.Helper()
	e := p.Second.Enroll(a.Key, string(a.ID))
	for range 3 { // a step may end in between
		code, err := mfa.Code(e.Secret, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		codes, err := p.AddFactor(t.Context(), w, e.Sealed, code)
		if err == nil {
			p.told(t, a.Mail+" Your second factor was set up")
			return codes, p.session(t, a, "with factor", "password totp")
		}
		if !errors.Is(err, mfa.ErrDenied) {
			t.Fatal(err)
		}
	}
	t.Fatal("no code of the app is taken")
	return nil, who{}
}

// is reports an error that is not the wanted one; nil wants none.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
