// Package logintest is the suite of package login: what its manual promises, tried
// on a real store with real hashes, also from many goroutines at a time. Package
// storetest tries the store itself.
//
//	logintest.Run(t, func(t *testing.T) func() storetest.Store { ... })
//
// If a promise is broken, the test fails and names it.
package logintest

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/store/storetest"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// Run tries the login. open makes a fresh, empty store for each test and returns a
// function that connects to it, as a program does when it starts.
func Run(t *testing.T, open func(t *testing.T) (connect func() storetest.Store)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() storetest.Store)
	}{
		{"one answer", oneAnswer},
		{"look-alikes", lookAlikes},
		{"upgrade", upgrade},
		{"upgrade against change", upgradeAgainstChange},
		{"wrapped", wrapped},
		{"parallel guesses", parallelGuesses},
		{"owner under attack", ownerUnderAttack},
		{"device is used up", deviceUsedUp},
		{"network", network},
		{"restart", restart},
		{"no free guesses", noFreeGuesses},
		{"made-up names", madeUp},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// A program is a login service with everything it needs, as it would be wired.
type program struct {
	*login.Service
	store  storetest.Store
	hasher *password.Hasher

	mu     sync.Mutex
	events []login.Event
}

// secret is that of the key ring, which survives a restart.
var secret = []byte("a secret of thirty-two bytes or more")

// start wires a program. Hashes are cheap and the deadline is short, since time
// is not what this suite is about.
func start(t *testing.T, s storetest.Store) *program {
	t.Helper()
	ring, err := keyring.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	p := &program{store: s}
	p.hasher = &password.Hasher{
		Preferred: password.Argon2id{Memory: 256, Time: 1, InsecureWeak: true},
		Legacy:    password.Legacy(),
		Gate:      &gate.Gate{Queue: 4000, Wait: time.Minute},
	}
	p.Service = &login.Service{
		Accounts: s, Links: s, Hasher: p.hasher,
		Throttle: &throttle.Limiter{Store: s, Keys: ring},
		LinkMail: func(a login.Account, token string) outbox.Mail {
			return outbox.Mail{To: "eve@example.org", Subject: "Your login", Text: token}
		},
		Deadline: 2 * time.Millisecond,
		OnAttempt: func(e login.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, e)
		},
	}
	return p
}

// count returns how many attempts have ended for this reason.
func (p *program) count(r login.Reason) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if e.Reason == r {
			n++
		}
	}
	return n
}

func (p *program) last() login.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.events[len(p.events)-1]
}

// add makes an account with this stored hash.
func (p *program) add(t *testing.T, typed, stored string) login.Account {
	t.Helper()
	id, err := login.ParseID(typed)
	if err != nil {
		t.Fatal(err)
	}
	a := login.NewAccount(id, "owner@example.org", stored)
	if err := p.store.AddAccount(t.Context(), a); err != nil {
		t.Fatalf("AddAccount(%+q): %v", id, err)
	}
	return a
}

func (p *program) hash(t *testing.T, pw string) string {
	t.Helper()
	stored, err := p.hasher.Hash(t.Context(), pw)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// try logs in from an address of its own, so that no network is used up.
func (p *program) try(ctx context.Context, n int, id, pw, device string) (*login.Success, error) {
	addr := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return p.Login(ctx, login.Attempt{ID: id, Password: pw, Addr: addr, Device: device})
}

// useUp spends all attempts of an account.
func (p *program) useUp(t *testing.T, id string) {
	t.Helper()
	for n := range 20 {
		if _, err := p.try(t.Context(), 1000+n, id, "wrong", ""); !errors.Is(err, login.ErrDenied) {
			t.Fatalf("a wrong password: %v", err)
		}
		if p.last().Reason == login.Locked {
			return
		}
	}
	t.Fatal("20 wrong passwords do not use an account up")
}

func together(n int, fn func(i int)) {
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() { <-begin; fn(i) })
	}
	close(begin)
	all.Wait()
}
