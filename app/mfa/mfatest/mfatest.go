// Package mfatest is the suite of package mfa: what its manual promises, tried on a
// real store, also from many goroutines and over several connections at a time.
//
//	mfatest.Run(t, func(t *testing.T) func() *store.Store { ... })
//
// If a promise is broken, the test fails and names it.
package mfatest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// A Store is what the suite needs of a store: the second factors, and the counters
// of tries.
type Store[S any] interface {
	mfa.Store[S]
	throttle.Store
}

// Run tries the second factor. open makes a fresh, empty store for each test and
// returns a function that connects to it, as a program does when it starts.
func Run[S Store[S]](t *testing.T, open func(t *testing.T) (connect func() S)) {
	for _, c := range []struct {
		name string
		test func(*testing.T, func() S)
	}{
		{"enrolment", enrolment[S]},
		{"replay", replay[S]},
		{"recovery codes", recoveryCodes[S]},
		{"challenge", challenge[S]},
		{"guesses", guesses[S]},
		{"at rest", atRest[S]},
		{"rotation under load", rotation[S]},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

var secret = []byte("a secret of thirty-two bytes or more")

func ring(t *testing.T, secrets ...[]byte) *keyring.Ring {
	t.Helper()
	if len(secrets) == 0 {
		secrets = [][]byte{secret}
	}
	r, err := keyring.New(secrets[0], secrets[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func service[S Store[S]](s S, keys *keyring.Ring) *mfa.Service[S] {
	return &mfa.Service[S]{Store: s, Keys: keys, Throttle: &throttle.Limiter{Store: s, Keys: keys}, Issuer: "To-do"}
}

// addr is one of many, so that no network is used up.
func addr(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// now is the code of an app whose clock is off by so many steps.
func now(t *testing.T, secret string, steps int) string {
	t.Helper()
	code, err := mfa.Code(secret, time.Now().Add(time.Duration(steps)*mfa.Step))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// enroll gives an account a factor and returns its secret and recovery codes. The
// codes of the present step and the next one are not used yet.
func enroll[S Store[S]](t *testing.T, m *mfa.Service[S], account string) (string, []string) {
	t.Helper()
	e := m.Enroll(account, account+"@example.org")
	for range 3 { // a step may end in between
		codes, err := m.Confirm(t.Context(), account, e.Sealed, now(t, e.Secret, -1))
		if err == nil {
			return e.Secret, codes
		}
	}
	t.Fatal("no code of the app is taken")
	return "", nil
}

func enrolment[S Store[S]](t *testing.T, connect func() S) {
	ctx := t.Context()
	m := service(connect(), ring(t))
	if on, err := m.Enabled(ctx, "anna"); on || err != nil {
		t.Errorf("Enabled without a factor: %v, %v", on, err)
	}
	e := m.Enroll("anna", "anna@example.org")
	if !strings.Contains(e.URI, e.Secret) {
		t.Errorf("the URI %s is not of the secret %s", e.URI, e.Secret)
	}
	for what, try := range map[string][3]string{
		"wrong code":      {"anna", e.Sealed, "000000x"},
		"other account":   {"ben", e.Sealed, now(t, e.Secret, 0)},
		"changed text":    {"anna", e.Sealed[:len(e.Sealed)-2] + "AA", now(t, e.Secret, 0)},
		"no sealed text":  {"anna", "", now(t, e.Secret, 0)},
		"other enrolment": {"anna", m.Enroll("anna", "anna").Sealed, now(t, e.Secret, 0)},
	} {
		if codes, err := m.Confirm(ctx, try[0], try[1], try[2]); !errors.Is(err, mfa.ErrDenied) || codes != nil {
			t.Errorf("Confirm with %s: %v", what, err)
		}
	}
	if on, err := m.Enabled(ctx, "anna"); on || err != nil {
		t.Errorf("Enabled before the enrolment ends: %v, %v", on, err)
	}
	first, old := enroll(t, m, "anna")
	if on, err := m.Enabled(ctx, "anna"); !on || err != nil || len(old) != mfa.CodeCount {
		t.Errorf("after the enrolment: %v, %v, %d codes", on, err, len(old))
	}
	// A second enrolment replaces the first one, and its recovery codes.
	second, _ := enroll(t, m, "anna")
	for what, code := range map[string]string{"code": now(t, first, 0), "recovery code": old[0]} {
		if _, err := m.Verify(ctx, "anna", code, addr(1)); !errors.Is(err, mfa.ErrDenied) {
			t.Errorf("a %s of the replaced factor: %v", what, err)
		}
	}
	if _, err := m.Verify(ctx, "anna", now(t, second, 0), addr(1)); err != nil {
		t.Errorf("a code of the new factor: %v", err)
	}
	if err := m.Remove(ctx, "anna"); err != nil {
		t.Fatal(err)
	}
	if on, err := m.Enabled(ctx, "anna"); on || err != nil {
		t.Errorf("Enabled after Remove: %v, %v", on, err)
	}
	if _, err := m.NewCodes(ctx, "anna"); !errors.Is(err, mfa.ErrNoFactor) {
		t.Errorf("NewCodes without a factor: %v", err)
	}
}

// One code, many requests, two programs: one passes.
func replay[S Store[S]](t *testing.T, connect func() S) {
	ctx := t.Context()
	programs := []*mfa.Service[S]{service(connect(), ring(t)), service(connect(), ring(t))}
	for _, p := range programs {
		p.Throttle.Account = []throttle.Rate{{Burst: 1000, Every: time.Hour}}
	}
	app, _ := enroll(t, programs[0], "anna")
	for round := range 2 {
		code := now(t, app, round)
		var in atomic.Int64
		together(16, func(i int) {
			p := programs[i%2]
			token, err := p.Challenge(ctx, "anna", 1)
			if err != nil {
				t.Error(err)
				return
			}
			switch passed, err := p.Answer(ctx, mfa.Answer{Token: token, Code: code, Addr: addr(i)}); {
			case err == nil && passed.Account == "anna" && passed.By == mfa.TOTP && passed.Epoch == 1:
				in.Add(1)
			case !errors.Is(err, mfa.ErrDenied):
				t.Errorf("%+v, %v", passed, err)
			}
		})
		if in.Load() != 1 {
			t.Errorf("round %d: one code let %d in", round, in.Load())
		}
	}
}

func recoveryCodes[S Store[S]](t *testing.T, connect func() S) {
	ctx := t.Context()
	m := service(connect(), ring(t))
	_, codes := enroll(t, m, "anna")
	_, others := enroll(t, m, "ben")
	var in atomic.Int64
	together(100, func(i int) {
		typed := codes[3]
		if i%2 == 0 {
			typed = " " + strings.ToUpper(strings.ReplaceAll(typed, "-", " "))
		}
		switch passed, err := m.Verify(ctx, "anna", typed, addr(i)); {
		case err == nil && passed.By == mfa.Recovery && passed.Left == mfa.CodeCount-1:
			in.Add(1)
		case !errors.Is(err, mfa.ErrDenied):
			t.Errorf("%+v, %v", passed, err)
		}
	})
	if in.Load() != 1 {
		t.Errorf("one recovery code let %d of 100 in", in.Load())
	}
	if _, err := m.Verify(ctx, "anna", others[0], addr(1)); !errors.Is(err, mfa.ErrDenied) {
		t.Errorf("a recovery code of somebody else: %v", err)
	}
	fresh, err := m.NewCodes(ctx, "anna")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Verify(ctx, "anna", codes[0], addr(1)); !errors.Is(err, mfa.ErrDenied) {
		t.Errorf("a recovery code that was replaced: %v", err)
	}
	for i, code := range fresh {
		if passed, err := m.Verify(ctx, "anna", code, addr(1)); err != nil || passed.Left != mfa.CodeCount-1-i {
			t.Errorf("recovery code %d: %+v, %v", i, passed, err)
		}
	}
	if _, err := m.Verify(ctx, "ben", others[0], addr(1)); err != nil {
		t.Errorf("the codes of another account have gone: %v", err)
	}
}

func challenge[S Store[S]](t *testing.T, connect func() S) {
	ctx := t.Context()
	m := service(connect(), ring(t))
	app, codes := enroll(t, m, "anna")
	token, err := m.Challenge(ctx, "anna", 7)
	if err != nil {
		t.Fatal(err)
	}
	// The next request comes to another process.
	other := service(connect(), ring(t))
	for range 2 {
		if _, err := other.Answer(ctx, mfa.Answer{Token: token, Code: "wrong", Addr: addr(1)}); !errors.Is(err, mfa.ErrDenied) {
			t.Errorf("a wrong code: %v", err)
		}
	}
	if passed, err := other.Answer(ctx, mfa.Answer{Token: token, Code: now(t, app, 0), Addr: addr(1)}); err != nil || passed.Epoch != 7 {
		t.Errorf("the right code: %+v, %v", passed, err)
	}
	if _, err := m.Answer(ctx, mfa.Answer{Token: token, Code: codes[0], Addr: addr(1)}); !errors.Is(err, mfa.ErrDenied) {
		t.Errorf("an answered challenge: %v", err)
	}
	// Five tries, then not even a right code counts, and it is not spent.
	if token, err = m.Challenge(ctx, "anna", 7); err != nil {
		t.Fatal(err)
	}
	together(20, func(i int) {
		if _, err := m.Answer(ctx, mfa.Answer{Token: token, Code: strings.Repeat("a", 24), Addr: addr(i)}); !errors.Is(err, mfa.ErrDenied) {
			t.Errorf("a wrong code: %v", err)
		}
	})
	if _, err := m.Answer(ctx, mfa.Answer{Token: token, Code: codes[0], Addr: addr(1)}); !errors.Is(err, mfa.ErrDenied) {
		t.Errorf("a right code after five wrong ones: %v", err)
	}
	m.Life = time.Microsecond
	if token, err = m.Challenge(ctx, "anna", 7); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 2*time.Microsecond; {
	}
	if _, err := m.Answer(ctx, mfa.Answer{Token: token, Code: codes[0], Addr: addr(1)}); !errors.Is(err, mfa.ErrDenied) {
		t.Errorf("a challenge that has expired: %v", err)
	}
	for _, token := range []string{"", "made up", token + "x"} {
		if _, err := m.Answer(ctx, mfa.Answer{Token: token, Code: codes[0], Addr: addr(1)}); !errors.Is(err, mfa.ErrDenied) {
			t.Errorf("a challenge that never was: %v", err)
		}
	}
	if err := m.Prune(ctx); err != nil {
		t.Error(err)
	}
	if passed, err := m.Verify(ctx, "anna", codes[0], addr(1)); err != nil || passed.Left != mfa.CodeCount-1 {
		t.Errorf("a refused challenge spends a code: %+v, %v", passed, err)
	}
}

// Whoever has the password gets challenges at will, and no more tries by that.
func guesses[S Store[S]](t *testing.T, connect func() S) {
	ctx := t.Context()
	m := service(connect(), ring(t))
	var locked atomic.Int64
	m.OnEvent = func(e mfa.Event) {
		if e.Locked {
			locked.Add(1)
		}
	}
	app, codes := enroll(t, m, "anna")
	const all = 60
	together(all, func(i int) {
		token, err := m.Challenge(ctx, "anna", 1)
		if err != nil {
			t.Error(err)
			return
		}
		_, err = m.Answer(ctx, mfa.Answer{Token: token, Code: fmt.Sprintf("x%05d", i), Addr: addr(i)})
		if !errors.Is(err, mfa.ErrDenied) {
			t.Errorf("a guess: %v", err)
		}
	})
	if got := locked.Load(); got != all-10 {
		t.Errorf("%d of %d guesses were looked at, 10 are allowed", all-got, all)
	}
	if _, err := m.Verify(ctx, "anna", now(t, app, 0), addr(99)); !errors.Is(err, mfa.ErrDenied) {
		t.Errorf("a right code when the tries are used up: %v", err)
	}
	if _, err := m.Verify(ctx, "anna", codes[0], addr(99)); err != nil {
		t.Errorf("the owner's recovery code: %v", err)
	}
}

func atRest[S Store[S]](t *testing.T, connect func() S) {
	ctx := t.Context()
	s := connect()
	m := service(s, ring(t))
	app, _ := enroll(t, m, "anna")
	ben, _ := enroll(t, m, "ben")
	f, err := s.Factor(ctx, "anna")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToUpper(f.Sealed), app) {
		t.Errorf("the stored secret %s is the secret", f.Sealed)
	}
	// A row that is moved to another account.
	f.Account = "ben"
	if err := s.PutFactor(ctx, f); err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{now(t, app, 0), now(t, ben, 0), ""} {
		if p, err := m.Verify(ctx, "ben", code, addr(1)); !errors.Is(err, mfa.ErrSecret) || p != (mfa.Passed{}) {
			t.Errorf("a moved secret: %+v, %v", p, err)
		}
	}
	// A ring that has lost the key.
	lost := service(connect(), ring(t, []byte("quite another secret of 32 bytes or more")))
	if p, err := lost.Verify(ctx, "anna", now(t, app, 0), addr(1)); !errors.Is(err, mfa.ErrSecret) || p != (mfa.Passed{}) {
		t.Errorf("a lost key: %+v, %v", p, err)
	}
	if _, err := m.Verify(ctx, "anna", now(t, app, 0), addr(1)); err != nil {
		t.Errorf("the same code with the key: %v", err)
	}
}

// The ring rotates while people log in, and nobody notices.
func rotation[S Store[S]](t *testing.T, connect func() S) {
	ctx := t.Context()
	keys := ring(t)
	m := service(connect(), keys)
	const people = 40
	var apps [people]string
	for i := range apps {
		apps[i], _ = enroll(t, m, fmt.Sprint("user", i))
	}
	var done sync.WaitGroup
	var logins, failures atomic.Int64
	for i, app := range apps {
		done.Go(func() {
			for step := range 2 {
				if _, err := m.Verify(ctx, fmt.Sprint("user", i), now(t, app, step), addr(i)); err != nil {
					failures.Add(1)
					t.Errorf("user%d, login %d: %v", i, step, err)
				}
				logins.Add(1)
			}
		})
	}
	last := secret
	for round := 0; round < 5 || logins.Load() < 2*people; round++ {
		if round < 50 {
			last = fmt.Appendf(nil, "secret number %d, and thirty-two bytes", round)
			if err := keys.Rotate(last); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Reseal(ctx); err != nil {
			t.Errorf("Reseal: %v", err)
		}
	}
	done.Wait()
	if _, err := m.Reseal(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d logins, %d failed, %d secrets encrypted anew", logins.Load(), failures.Load(), m.Stats().Resealed)
	// Nothing needs the earlier secrets any more.
	only := service(connect(), ring(t, last))
	if n, err := only.Reseal(ctx); n != 0 || err != nil {
		t.Errorf("%d secrets are left under an earlier key, %v", n, err)
	}
	app, _ := enroll(t, only, "late")
	if _, err := only.Verify(context.WithoutCancel(ctx), "late", now(t, app, 0), addr(1)); err != nil {
		t.Error(err)
	}
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
