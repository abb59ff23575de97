package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/throttle"
)

func buckets(t *testing.T, s Store) {
	ctx, now := t.Context(), time.Now()
	rate := throttle.Rate{Burst: 3, Every: time.Minute}
	take := func(b throttle.Bucket, at time.Time, want time.Duration) {
		t.Helper()
		got, err := s.Take(ctx, b, rate, at)
		if err != nil || got != want {
			t.Errorf("Take(%d) = %v, %v, want %v", b, got, err, want)
		}
	}
	const b, other = throttle.Bucket(1), throttle.Bucket(1<<56 - 1)
	for range 3 {
		take(b, now, 0)
	}
	take(b, now, time.Minute)
	take(b, now.Add(20*time.Second), 40*time.Second)
	take(other, now, 0)
	take(b, now.Add(time.Minute), 0)
	take(b, now.Add(time.Minute), time.Minute)

	refund := func(b throttle.Bucket) {
		t.Helper()
		if err := s.Refund(ctx, b, rate); err != nil {
			t.Error(err)
		}
	}
	refund(b)
	take(b, now.Add(time.Minute), 0)
	take(b, now.Add(time.Minute), time.Minute)
	refund(77) // does not exist
	take(77, now, 0)
	// Refunds of attempts that have long been forgotten give no credit.
	later := now.Add(time.Hour)
	for range 5 {
		refund(b)
	}
	for range 3 {
		take(b, later, 0)
	}
	take(b, later, time.Minute)

	if n, err := s.Prune(ctx, later); err != nil || n != 2 {
		t.Errorf("Prune dropped %d, %v; only the used bucket should stay", n, err)
	}
	take(b, later, time.Minute)
	take(other, later, 0)
	if n, err := s.Prune(ctx, later.Add(time.Hour)); err != nil || n != 2 {
		t.Errorf("Prune of everything dropped %d, %v", n, err)
	}
}

func bucketUnderLoad(t *testing.T, s Store) {
	rate := throttle.Rate{Burst: 10, Every: time.Hour}
	var taken atomic.Int64
	now := time.Now()
	together(16, func(int) {
		for range 10 {
			wait, err := s.Take(t.Context(), 5, rate, now)
			if err != nil {
				t.Error(err)
			}
			if err == nil && wait == 0 {
				taken.Add(1)
			}
		}
	})
	if taken.Load() != 10 {
		t.Errorf("%d attempts from a bucket of 10", taken.Load())
	}
}

var notice = outbox.Mail{To: "anna@example.org", Subject: "Grüße", Text: "a\r\nb\nc \U0001f600 \\ ' \"?\n"}

func links(t *testing.T, s Store) {
	ctx, now := t.Context(), time.Now()
	put := func(n byte, expires time.Time) {
		t.Helper()
		if err := s.PutLink(ctx, login.Link{Hash: [32]byte{n, 0, 255}, Purpose: "device", Account: fmt.Sprint("anna", n), Expires: expires}, notice); err != nil {
			t.Fatal(err)
		}
	}
	put(1, now.Add(time.Hour))
	put(2, now.Add(-time.Second))
	put(3, now.Add(time.Hour))
	spend := func(n byte, purpose, want string) {
		t.Helper()
		got, err := s.SpendLink(ctx, [32]byte{n, 0, 255}, purpose, now)
		if got != want || (want == "") != errors.Is(err, login.ErrNoLink) {
			t.Errorf("SpendLink(%d, %s) = %q, %v", n, purpose, got, err)
		}
	}
	spend(9, "device", "")
	spend(2, "device", "")
	spend(1, "reset", "")
	spend(1, "device", "anna1")
	spend(1, "device", "")
	if n, err := s.PruneLinks(ctx, now); err != nil || n != 1 {
		t.Errorf("PruneLinks dropped %d, %v", n, err)
	}
	spend(3, "device", "anna3")
	for range 3 {
		if m, ok, err := s.LeaseMail(ctx, now, now.Add(time.Minute)); err != nil || !ok || m.Mail != notice {
			t.Errorf("the mail of a link: %+v, %v, %v", m, ok, err)
		}
	}
	bad := notice
	bad.To = "anna@example.org\r\nBcc: eve@example.org"
	l := login.Link{Hash: [32]byte{4}, Purpose: "device", Account: "anna4", Expires: now.Add(time.Hour)}
	if err := s.PutLink(ctx, l, bad); !errors.Is(err, outbox.ErrMail) {
		t.Errorf("a link whose mail cannot be sent: %v", err)
	}
	if _, err := s.SpendLink(ctx, l.Hash, "device", now); !errors.Is(err, login.ErrNoLink) {
		t.Errorf("a link without its mail is there: %v", err)
	}
}

func oneSpends(t *testing.T, s Store) {
	now := time.Now()
	err := s.PutLink(t.Context(), login.Link{Hash: [32]byte{8}, Purpose: "p", Account: "anna", Expires: now.Add(time.Hour)}, notice)
	if err != nil {
		t.Fatal(err)
	}
	var spent atomic.Int64
	together(16, func(int) {
		switch _, err := s.SpendLink(t.Context(), [32]byte{8}, "p", now); {
		case err == nil:
			spent.Add(1)
		case !errors.Is(err, login.ErrNoLink):
			t.Error(err)
		}
	})
	if spent.Load() != 1 {
		t.Errorf("a link was spent %d times", spent.Load())
	}
}

func mails(t *testing.T, s Store) {
	ctx := t.Context()
	if err := s.PutMail(ctx, outbox.Mail{To: "anna"}); !errors.Is(err, outbox.ErrMail) {
		t.Errorf("a mail to no address: %v", err)
	}
	long := notice
	long.Text = strings.Repeat("ä", outbox.MaxText/2)
	for _, m := range []outbox.Mail{notice, long} {
		if err := s.PutMail(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	var got []outbox.Mail
	n, err := outbox.Deliver(ctx, s, func(_ context.Context, m outbox.Mail) error { got = append(got, m); return nil }, 10)
	if err != nil || n != 2 || len(got) != 2 || got[0] != notice || got[1] != long {
		t.Errorf("delivered %d, %v", n, err)
	}
	if n, err := outbox.Deliver(ctx, s, nil, 10); err != nil || n != 0 {
		t.Errorf("delivered %d again, %v", n, err)
	}
}

func leases(t *testing.T, s Store) {
	ctx, now := t.Context(), time.Now()
	const all = 24
	for i := range all {
		if err := s.PutMail(ctx, outbox.Mail{To: "a@example.org", Subject: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	seen := map[string]int{}
	together(8, func(int) {
		for {
			m, ok, err := s.LeaseMail(ctx, now, now.Add(time.Minute))
			if err != nil {
				t.Error(err)
			}
			if err != nil || !ok {
				return
			}
			mu.Lock()
			seen[m.Subject]++
			mu.Unlock()
		}
	})
	if len(seen) != all {
		t.Errorf("%d of %d mails were leased", len(seen), all)
	}
	for subject, n := range seen {
		if n != 1 {
			t.Errorf("mail %s was leased %d times at once", subject, n)
		}
	}
	m, ok, err := s.LeaseMail(ctx, now.Add(2*time.Minute), now.Add(9*time.Minute))
	if err != nil || !ok || m.Tries != 2 {
		t.Fatalf("after the lease: %+v, %v, %v", m, ok, err)
	}
	if err := s.DropMail(ctx, m.ID); err != nil {
		t.Error(err)
	}
	for range all - 1 {
		if m, ok, err = s.LeaseMail(ctx, now.Add(2*time.Minute), now.Add(9*time.Minute)); err != nil || !ok {
			t.Fatalf("%v, %v", ok, err)
		}
	}
	if err := s.DeferMail(ctx, m.ID, now.Add(3*time.Minute)); err != nil {
		t.Error(err)
	}
	if got, ok, err := s.LeaseMail(ctx, now.Add(4*time.Minute), now.Add(9*time.Minute)); err != nil || !ok || got.ID != m.ID || got.Tries != 3 {
		t.Errorf("the deferred mail: %+v, %v, %v", got, ok, err)
	}
	if _, ok, err := s.LeaseMail(ctx, now.Add(4*time.Minute), now.Add(9*time.Minute)); err != nil || ok {
		t.Errorf("another one: %v, %v", ok, err)
	}
	if err := s.DropMail(ctx, "unknown"); err != nil {
		t.Error(err)
	}
}

// What is done in a failed transaction never was, across all interfaces.
func transactions[S Transactor[S]](t *testing.T, s S) {
	ctx, now := t.Context(), time.Now()
	anna := add(t, s, login.NewAccount("anna", "", "old"))
	all := func(tx S) error {
		_, err := tx.Take(ctx, 1, throttle.Rate{Burst: 1, Every: time.Hour}, now)
		return errors.Join(err,
			tx.SetPassword(ctx, anna.Key, "new"),
			tx.AddAccount(ctx, login.Account{Key: "ben", ID: "ben"}),
			tx.PutLink(ctx, login.Link{Hash: [32]byte{1}, Purpose: "p", Account: "ben", Expires: now.Add(time.Hour)}, notice))
	}
	failed := errors.New("failed")
	err := s.Tx(ctx, func(tx S) error {
		if err := all(tx); err != nil {
			t.Error(err)
		}
		if a, err := tx.Account(ctx, anna.Key); err != nil || a.Password != "new" {
			t.Errorf("inside: %+v, %v", a, err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("Tx: %v", err)
	}
	if a, err := s.Account(ctx, anna.Key); err != nil || a != anna {
		t.Errorf("after a failed transaction: %+v, %v", a, err)
	}
	if _, err := s.FindAccount(ctx, "ben"); !errors.Is(err, login.ErrNoAccount) {
		t.Errorf("ben is there: %v", err)
	}
	if _, err := s.SpendLink(ctx, [32]byte{1}, "p", now); !errors.Is(err, login.ErrNoLink) {
		t.Errorf("the link is there: %v", err)
	}
	if _, ok, err := s.LeaseMail(ctx, now, now); err != nil || ok {
		t.Errorf("the mail is there: %v", err)
	}
	if n, err := s.Prune(ctx, now.Add(time.Hour*9)); err != nil || n != 0 {
		t.Errorf("the bucket is there: %d, %v", n, err)
	}
	if err := s.Tx(ctx, all); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Account(ctx, anna.Key); err != nil || a.Password != "new" || a.Epoch != 1 {
		t.Errorf("after a transaction: %+v, %v", a, err)
	}
	if key, err := s.SpendLink(ctx, [32]byte{1}, "p", now); err != nil || key != "ben" {
		t.Errorf("the link: %q, %v", key, err)
	}
}
