// Package recoverytest is the suite of package recovery: what its manual promises,
// tried on a real store, also from many goroutines at a time and with a fault at each
// statement.
//
//	recoverytest.Run(t, func(t *testing.T) *store.Store { ... })
//
// If a promise is broken, the test fails and names it.
package recoverytest

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// A Store is what the suite needs of a store beside what a reset needs: something
// to reset.
type Store[S any] interface {
	recovery.Store[S]
	login.Directory
	session.Holder
	mfa.Factors
	throttle.Store
	outbox.Queue
}

// Run tries resets. open makes a fresh, empty store for each test.
func Run[S Store[S]](t *testing.T, open func(t *testing.T) S) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *program[S])
	}{
		{"same answer", sameAnswer[S]},
		{"reset", reset[S]},
		{"two clicks", twoClicks[S]},
		{"links that are not good", badLinks[S]},
		{"tokens", tokens[S]},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t, open(t))) })
	}
}

// A program is a service with everything it needs.
type program[S Store[S]] struct {
	*recovery.Service[S]
	mu     sync.Mutex
	events []recovery.Event
}

const deadline = 100 * time.Millisecond

func start[S Store[S]](t *testing.T, s S) *program[S] {
	t.Helper()
	ring, err := keyring.New([]byte("a secret of thirty-two bytes or more"))
	if err != nil {
		t.Fatal(err)
	}
	p := &program[S]{}
	p.Service = &recovery.Service[S]{
		Store: s, Throttle: &throttle.Limiter{Store: s, Keys: ring},
		Hasher: &password.Hasher{
			Preferred: password.Argon2id{Memory: 256, Time: 1, InsecureWeak: true},
			Gate:      &gate.Gate{Queue: 100, Wait: time.Minute},
		},
		ResetURL: "https://todo.example.org/reset",
		Mail: func(a login.Account, link string) outbox.Mail {
			return outbox.Mail{To: "eve@example.org", Subject: "reset", Text: link}
		},
		Notice: func(a login.Account) outbox.Mail {
			return outbox.Mail{To: "eve@example.org", Subject: "notice", Text: "changed"}
		},
		Deadline: deadline,
		OnEvent: func(e recovery.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, e)
		},
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

// add makes an account with a session and a second factor.
func (p *program[S]) add(t *testing.T, id login.ID, mail string) (login.Account, [32]byte) {
	t.Helper()
	hash, err := p.Hasher.Hash(t.Context(), "the old password of this account")
	if err != nil {
		t.Fatal(err)
	}
	a := login.NewAccount(id, mail, hash)
	if err := p.Store.AddAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s := session.Record{
		Hash: recovery.Hash("session of " + a.Key), ID: "s", Account: a.Key,
		Began: now, Seen: now, Proven: now, Expires: now.Add(time.Hour), Idle: time.Hour,
	}
	if err := p.Store.AddSession(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := p.Store.PutFactor(t.Context(), mfa.Factor{Account: a.Key, Sealed: "sealed", Step: 3}); err != nil {
		t.Fatal(err)
	}
	return a, s.Hash
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

// link mails a link and returns its token.
func (p *program[S]) link(t *testing.T, a login.Account) string {
	t.Helper()
	if outcome, err := p.Send(t.Context(), a.Key); outcome != recovery.Sent || err != nil {
		t.Fatalf("Send: %s, %v", outcome, err)
	}
	all := p.mails(t)
	if len(all) != 1 || all[0].To != a.Mail {
		t.Fatalf("mails %+v for %s", all, a.Mail)
	}
	u, err := url.Parse(all[0].Text)
	if err != nil || !strings.HasPrefix(all[0].Text, p.ResetURL+"?token=") {
		t.Fatalf("link %s, %v", all[0].Text, err)
	}
	return u.Query().Get("token")
}

const fresh = "a fresh password of this account"

func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

func sameAnswer[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	p.add(t, "anna", "anna@example.org")
	p.add(t, "nomail", "")
	off, _ := p.add(t, "off", "off@example.org")
	if err := p.Store.SetDisabled(ctx, off.Key, true); err != nil {
		t.Fatal(err)
	}
	typed := []string{"anna", "ANNA", "nobody", "nomail", "off", "", "not an id", "anna", strings.Repeat("x", 5000)}
	took := make([]time.Duration, len(typed))
	for i, id := range typed {
		began := time.Now()
		if err := p.Request(ctx, id, addr(i)); err != nil {
			t.Errorf("Request(%.20q): %v", id, err)
		}
		took[i] = time.Since(began)
	}
	for i, d := range took {
		// The next multiple of the deadline, and what the scheduler adds.
		if late := d % deadline; d < deadline || late > deadline/2 {
			t.Errorf("Request(%.20q) took %v, the deadline is %v", typed[i], d, deadline)
		}
	}
	all := p.mails(t)
	if len(all) != 1 || all[0].To != "anna@example.org" {
		t.Errorf("mails: %+v", all)
	}
	if p.events[0].Outcome != recovery.Sent || p.events[1].Outcome != recovery.Enough || p.events[2].Outcome != recovery.Unknown {
		t.Errorf("events: %+v", p.events)
	}
	// What stands in a request reaches no link.
	p.ResetURL = "http://todo.example.org/reset"
	if err := p.Check(); err == nil {
		t.Error("a page without TLS is taken")
	}
	// One network asks for many names.
	var many *throttle.TooManyError
	var err error
	for i := 0; i < 60 && err == nil; i++ {
		_, err = p.Throttle.Reserve(ctx, throttle.Attempt{Name: "x", Addr: addr(999)})
	}
	for _, id := range []string{"anna", "nobody"} {
		if err := p.Request(ctx, id, addr(999)); !errors.As(err, &many) {
			t.Errorf("Request(%s) from a network that asks too often: %v", id, err)
		}
	}
}

func reset[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	anna, session1 := p.add(t, "anna", "anna@example.org")
	ben, session2 := p.add(t, "ben", "ben@example.org")
	token := p.link(t, anna)
	if err := p.Throttle.RefundMail(ctx, "reset of anna"); err != nil {
		t.Fatal(err)
	}
	other := p.link(t, anna)
	for range 3 {
		if err := p.Look(ctx, token); err != nil {
			t.Errorf("looking at a link: %v", err)
		}
	}
	var weak *recovery.WeakError
	for _, pw := range []string{"short", "anna@example.org anna", "passwordpassword"} {
		if err := p.Reset(ctx, token, pw); !errors.As(err, &weak) {
			t.Errorf("Reset to %q: %v", pw, err)
		}
	}
	if err := p.Reset(ctx, token, fresh); err != nil {
		t.Fatalf("Reset: %v", err)
	}
	a, err := p.Store.Account(ctx, anna.Key)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := p.Hasher.Verify(ctx, a.Password, fresh); !v.Match || err != nil || a.Epoch != anna.Epoch+1 {
		t.Errorf("after the reset: %+v, %v, epoch %d", v, err, a.Epoch)
	}
	if _, err := p.Store.FindSession(ctx, session1); !errors.Is(err, session.ErrNoSession) {
		t.Errorf("the session goes on: %v", err)
	}
	if f, err := p.Store.Factor(ctx, anna.Key); err != nil || f.Step != 3 {
		t.Errorf("the second factor: %+v, %v", f, err)
	}
	for what, tok := range map[string]string{"used": token, "other": other} {
		if err := p.Look(ctx, tok); !errors.Is(err, recovery.ErrNoToken) {
			t.Errorf("the %s link is still good: %v", what, err)
		}
		if err := p.Reset(ctx, tok, fresh+"!"); !errors.Is(err, recovery.ErrNoToken) {
			t.Errorf("the %s link resets: %v", what, err)
		}
	}
	if all := p.mails(t); len(all) != 1 || all[0].Subject != "notice" || all[0].To != "anna@example.org" {
		t.Errorf("mails after the reset: %+v", all)
	}
	if _, err := p.Store.FindSession(ctx, session2); err != nil {
		t.Errorf("the session of somebody else has ended: %v", err)
	}
	if got, err := p.Store.Account(ctx, ben.Key); err != nil || got != ben {
		t.Errorf("somebody else has changed: %+v, %v", got, err)
	}
}

func twoClicks[S Store[S]](t *testing.T, p *program[S]) {
	anna, _ := p.add(t, "anna", "anna@example.org")
	token := p.link(t, anna)
	var won atomic.Int64
	var winner atomic.Value
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			pw := fresh + strings.Repeat("!", i)
			switch err := p.Reset(t.Context(), token, pw); {
			case err == nil:
				won.Add(1)
				winner.Store(pw)
			case !errors.Is(err, recovery.ErrNoToken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Fatalf("one link has reset %d times", won.Load())
	}
	a, err := p.Store.Account(t.Context(), anna.Key)
	if err != nil || a.Epoch != anna.Epoch+1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if v, err := p.Hasher.Verify(t.Context(), a.Password, winner.Load().(string)); !v.Match || err != nil {
		t.Errorf("the password is not that of the click that won: %v", err)
	}
	if n := len(p.mails(t)); n != 1 {
		t.Errorf("%d notices", n)
	}
}

func badLinks[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	now := time.Now()
	for name, spoil := range map[string]func(key string, tok *recovery.Token) error{
		"expired":       func(_ string, tok *recovery.Token) error { tok.Expires = now.Add(-time.Second); return nil },
		"other purpose": func(_ string, tok *recovery.Token) error { tok.Purpose = "register"; return nil },
		"nobody":        func(_ string, tok *recovery.Token) error { tok.Account = "nobody"; return nil },
		"old address":   func(_ string, tok *recovery.Token) error { tok.Mail = "earlier@example.org"; return nil },
		"switched off":  func(key string, _ *recovery.Token) error { return p.Store.SetDisabled(ctx, key, true) },
	} {
		a, _ := p.add(t, login.ID(name), name[:3]+"@example.org")
		text, tok := recovery.NewToken("reset", a.Key, a.Mail, time.Hour)
		if err := spoil(a.Key, &tok); err != nil {
			t.Fatal(err)
		}
		if err := p.Store.PutToken(ctx, tok); err != nil {
			t.Fatal(err)
		}
		if err := p.Reset(ctx, text, fresh); !errors.Is(err, recovery.ErrNoToken) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := p.Store.Account(ctx, a.Key); err != nil || got.Password != a.Password {
			t.Errorf("%s: the password has changed, %v", name, err)
		}
	}
	for _, text := range []string{"", "made up", strings.Repeat("A", 43)} {
		if err := p.Reset(ctx, text, fresh); !errors.Is(err, recovery.ErrNoToken) {
			t.Errorf("a made-up link: %v", err)
		}
	}
}

func tokens[S Store[S]](t *testing.T, p *program[S]) {
	ctx, now := t.Context(), time.Now()
	var all []recovery.Token
	for i, life := range []time.Duration{time.Hour, -time.Second, time.Hour} {
		_, tok := recovery.NewToken("p", []string{"anna", "anna", "ben"}[i], "a'b\\@example.org", life)
		tok.Expires = tok.Expires.Truncate(time.Microsecond)
		if err := p.Store.PutToken(ctx, tok); err != nil {
			t.Fatal(err)
		}
		all = append(all, tok)
	}
	for i, tok := range all {
		got, err := p.Store.FindToken(ctx, tok.Hash, "p", now)
		if good := i != 1; good != (err == nil) || good && (!got.Expires.Equal(tok.Expires) || got.Mail != tok.Mail || got.Account != tok.Account) {
			t.Errorf("token %d: %+v, %v", i, got, err)
		}
	}
	if err := p.Store.DropTokens(ctx, "", now); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Store.FindToken(ctx, all[1].Hash, "p", now.Add(-time.Minute)); !errors.Is(err, recovery.ErrNoToken) {
		t.Errorf("an expired token stays: %v", err)
	}
	if err := p.Store.DropTokens(ctx, "anna", now); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Store.SpendToken(ctx, all[0].Hash, "p", now); !errors.Is(err, recovery.ErrNoToken) {
		t.Errorf("a dropped token: %v", err)
	}
	if got, err := p.Store.SpendToken(ctx, all[2].Hash, "p", now); err != nil || got.Account != "ben" {
		t.Errorf("the token of somebody else: %+v, %v", got, err)
	}
}

// Faults tries that a reset happens as a whole or not at all, whatever fails. arm
// makes the n-th operation of the store from then on fail, none for 0, and reports
// whether the fault that was armed before has happened.
func Faults[S Store[S]](t *testing.T, s S, arm func(n int) (fired bool)) {
	ctx := t.Context()
	p := start(t, s)
	p.Throttle.Mail = []throttle.Rate{{Burst: 1000, Every: time.Second}}
	nothing, everything := 0, 0
	for n := 1; ; n++ {
		if n > 100 {
			t.Fatal("the faults do not end")
		}
		a, ses := p.add(t, login.ID("user"+strings.Repeat("x", n)), "anna@example.org")
		token := p.link(t, a)
		arm(n)
		failed := p.Reset(ctx, token, fresh)
		fired := arm(0)

		now, err := s.Account(ctx, a.Key)
		if err != nil {
			t.Fatal(err)
		}
		_, tokenErr := s.FindToken(ctx, recovery.Hash(token), "reset", time.Now())
		_, sessionErr := s.FindSession(ctx, ses)
		happened := []bool{now.Password != a.Password, now.Epoch != a.Epoch, tokenErr != nil, sessionErr != nil, len(p.mails(t)) == 1}
		for _, h := range happened[1:] {
			if h != happened[0] {
				t.Fatalf("fault %d (%v): hash, epoch, token, session and mail have changed: %v", n, failed, happened)
			}
		}
		switch {
		case failed == nil && !happened[0]:
			t.Errorf("fault %d: success, and nothing has happened", n)
		case happened[0]:
			everything++
		default:
			nothing++
		}
		if !fired {
			break
		}
	}
	t.Logf("%d faults left nothing, %d everything", nothing, everything-1)
	if nothing < 6 {
		t.Errorf("only %d faults left nothing: they do not reach the transaction", nothing)
	}
}
