package logintest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/store/storetest"
	"github.com/holdfast-security/holdfast/app/throttle"
)

const limit = 10 // attempts of an account

// A thousand guesses at once verify no more than ten one after the other, and the
// name that does not exist looks the same.
func parallelGuesses(t *testing.T, connect func() storetest.Store) {
	p := start(t, connect())
	p.add(t, "anna", p.hash(t, "right"))
	for _, id := range []string{"anna", "nobody"} {
		p.events = nil
		together(1000, func(n int) {
			if _, err := p.try(t.Context(), n, id, fmt.Sprint("guess ", n), ""); !errors.Is(err, login.ErrDenied) {
				t.Errorf("guess %d: %v", n, err)
			}
		})
		verified := p.count(login.Wrong) + p.count(login.Unknown)
		if verified > limit || verified < 1 || verified+p.count(login.Locked) != 1000 {
			t.Errorf("%s: %d of 1000 parallel guesses were verified, %d refused", id, verified, p.count(login.Locked))
		}
	}
}

func (p *program) mails(t *testing.T) (all []outbox.Mail) {
	t.Helper()
	_, err := outbox.Deliver(t.Context(), p.store, func(_ context.Context, m outbox.Mail) error {
		all = append(all, m)
		return nil
	}, 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func ownerUnderAttack(t *testing.T, connect func() storetest.Store) {
	ctx := t.Context()
	p := start(t, connect())
	p.add(t, "anna", p.hash(t, "right"))
	p.add(t, "ben", p.hash(t, "right too"))
	in, err := p.try(ctx, 1, "anna", "right", "")
	if err != nil {
		t.Fatal(err)
	}
	known := in.Device
	bens, err := p.try(ctx, 1, "ben", "right too", known)
	if err != nil {
		t.Fatal(err)
	}
	if p.last().Trusted {
		t.Error("anna's cookie vouches for ben")
	}

	for _, id := range []string{"anna", "nobody"} {
		p.useUp(t, id)
		for n := range 5 {
			p.try(ctx, n, id, "wrong", "")
		}
	}
	if _, err := p.try(ctx, 2, "anna", "right", ""); !errors.Is(err, login.ErrDenied) {
		t.Errorf("an unknown browser is in while the account is hammered on: %v", err)
	}
	for what, cookie := range map[string]string{"the known browser": known, "the browser of both": bens.Device} {
		if _, err := p.try(ctx, 3, "anna", "right", cookie); err != nil || !p.last().Trusted {
			t.Errorf("%s: %v", what, err)
		}
	}
	other, err := p.try(ctx, 4, "ben", "right too", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.try(ctx, 4, "anna", "right", other.Device); !errors.Is(err, login.ErrDenied) {
		t.Errorf("ben's cookie lets into anna's account: %v", err)
	}

	mails := p.mails(t)
	if len(mails) != 1 || mails[0].To != "owner@example.org" {
		t.Fatalf("mailed: %+v; it should be one, to the stored address", mails)
	}
	token := mails[0].Text
	if _, err := p.OpenLink(ctx, token+"x", ""); !errors.Is(err, login.ErrNoLink) {
		t.Errorf("another token: %v", err)
	}
	trusted, err := p.OpenLink(ctx, token, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.OpenLink(ctx, token, ""); !errors.Is(err, login.ErrNoLink) {
		t.Errorf("the link twice: %v", err)
	}
	if _, err := p.try(ctx, 5, "anna", "wrong", trusted); !errors.Is(err, login.ErrDenied) {
		t.Errorf("the link is a way around the password: %v", err)
	}
	if _, err := p.try(ctx, 5, "anna", "right", trusted); err != nil {
		t.Errorf("the owner with the mailed link: %v", err)
	}
}

// A stolen cookie gives as many guesses as an account has, and no more.
func deviceUsedUp(t *testing.T, connect func() storetest.Store) {
	p := start(t, connect())
	p.add(t, "anna", p.hash(t, "right"))
	in, err := p.try(t.Context(), 1, "anna", "right", "")
	if err != nil {
		t.Fatal(err)
	}
	p.useUp(t, "anna")
	p.events = nil
	for n := range 30 {
		p.try(t.Context(), n, "anna", "wrong", in.Device)
	}
	if got := p.count(login.Wrong); got != limit {
		t.Errorf("%d guesses with a stolen cookie", got)
	}
}

func network(t *testing.T, connect func() storetest.Store) {
	ctx := t.Context()
	p := start(t, connect())
	p.add(t, "anna", p.hash(t, "right"))
	from := func(addr string, id, pw string) error {
		a, _ := netip.ParseAddr(addr) // the zero address if it is none
		_, err := p.Login(ctx, login.Attempt{ID: id, Password: pw, Addr: a})
		return err
	}
	for round, c := range []struct{ first, same, other string }{
		{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"},
		{"", "no address", "192.0.2.3"},
	} {
		var many *throttle.TooManyError
		n := 0
		for ; n < 100; n++ {
			if err := from(c.first, fmt.Sprint("user", round, "-", n), "guess"); errors.As(err, &many) {
				break
			} else if !errors.Is(err, login.ErrDenied) {
				t.Fatal(err)
			}
		}
		if n != 50 || many == nil || many.RetryAfter < time.Second || many.RetryAfter > 30*time.Second {
			t.Errorf("%s: refused after %d attempts: %v", c.first, n, many)
		}
		before := p.hasher.Stats()
		for _, id := range []string{"anna", "nobody", "not a name"} {
			if err := from(c.same, id, "right"); !errors.As(err, &many) {
				t.Errorf("%s from the same network as %s: %v", id, c.first, err)
			}
		}
		if after := p.hasher.Stats(); after != before {
			t.Errorf("the refusal of a network hashed: %+v, then %+v", before, after)
		}
		if err := from(c.other, "anna", "right"); err != nil {
			t.Errorf("anna from another network: %v", err)
		}
	}
	// Whoever gets in has taken nothing from the others of the network.
	for range 100 {
		if err := from("192.0.2.99", "anna", "right"); err != nil {
			t.Fatal(err)
		}
	}
}

func restart(t *testing.T, connect func() storetest.Store) {
	p := start(t, connect())
	p.add(t, "anna", p.hash(t, "right"))
	in, err := p.try(t.Context(), 1, "anna", "right", "")
	if err != nil {
		t.Fatal(err)
	}
	p.useUp(t, "anna")
	mails := p.mails(t)

	p = start(t, connect())
	if _, err := p.try(t.Context(), 2, "anna", "right", ""); !errors.Is(err, login.ErrDenied) || p.last().Reason != login.Locked {
		t.Errorf("a restart gives new attempts: %v", err)
	}
	if got := p.mails(t); len(got) != 0 {
		t.Errorf("a restart mails again: %+v", got)
	}
	if _, err := p.try(t.Context(), 3, "anna", "right", in.Device); err != nil {
		t.Errorf("the device cookie after a restart: %v", err)
	}
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	if _, err := p.OpenLink(t.Context(), mails[0].Text, ""); err != nil {
		t.Errorf("the mailed link after a restart: %v", err)
	}
}

// Hanging up before the answer does not make a guess uncounted.
func noFreeGuesses(t *testing.T, connect func() storetest.Store) {
	p := start(t, connect())
	p.Deadline = time.Hour // nobody waits for the answer
	p.add(t, "anna", p.hash(t, "right"))
	for n := range 3 * limit {
		ctx, hangUp := context.WithCancel(t.Context())
		before := p.count(login.Wrong) + p.count(login.Locked)
		done := make(chan error)
		go func() {
			_, err := p.try(ctx, n, "anna", "wrong", "")
			done <- err
		}()
		for p.count(login.Wrong)+p.count(login.Locked) == before {
			time.Sleep(100 * time.Microsecond)
		}
		hangUp()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("hung up: %v", err)
		}
	}
	if got := p.count(login.Wrong); got != limit {
		t.Errorf("%d guesses were verified", got)
	}
}

// Made-up names and addresses share a fixed number of rows.
func madeUp(t *testing.T, connect func() storetest.Store) {
	many := 1500
	if os.Getenv("HOLDFAST_SOAK") != "" {
		many = 1_000_000
	}
	p := start(t, connect())
	l := p.Throttle
	l.AccountBuckets, l.NetworkBuckets = many/16, many/32
	together(8, func(worker int) {
		for n := worker; n < many; n += 8 {
			addr := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			_, err := l.Reserve(t.Context(), throttle.Attempt{Name: fmt.Sprint("made up ", n), Addr: addr})
			var tooMany *throttle.TooManyError
			if err != nil && !errors.As(err, &tooMany) {
				t.Error(err)
				return
			}
		}
	})
	rows, err := p.store.Prune(t.Context(), time.Now().Add(10_000*time.Hour))
	if err != nil || rows > l.MaxRows() || rows < many/16 {
		t.Errorf("%d names left %d rows of at most %d, %v", many, rows, l.MaxRows(), err)
	}
}
