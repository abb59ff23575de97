package throttle_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/throttle"
)

func ring(t testing.TB, n byte) *keyring.Ring {
	t.Helper()
	r, err := keyring.New([]byte(strings.Repeat(string('a'+rune(n)), 32)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func from(name string, n uint32) throttle.Attempt {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return throttle.Attempt{Name: name, Addr: netip.AddrFrom4(b)}
}

// A million names from a million addresses leave the store and the memory bounded.
func TestBounded(t *testing.T) {
	const many = 1_000_000
	s := memory.New()
	l := &throttle.Limiter{Store: s, Keys: ring(t, 0)}
	if l.MaxRows() > 1<<19 {
		t.Errorf("at most %d rows", l.MaxRows())
	}
	before := heap()
	var all sync.WaitGroup
	for worker := range 2 {
		all.Go(func() {
			for n := worker; n < many; n += 2 {
				if _, err := l.Reserve(t.Context(), from(fmt.Sprint("made up ", n), uint32(n))); err != nil {
					var tooMany *throttle.TooManyError
					if !errors.As(err, &tooMany) { // a neighbour of the same bucket
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	grown := heap() - before
	rows, err := s.Prune(t.Context(), time.Now().Add(1000*24*time.Hour))
	if err != nil || rows > l.MaxRows() || rows < 1000 {
		t.Errorf("%d rows of at most %d, %v", rows, l.MaxRows(), err)
	}
	if grown > 64<<20 {
		t.Errorf("%d MiB of memory", grown>>20)
	}
	t.Logf("%d rows, %d MiB", rows, grown>>20)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestSlowRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &throttle.Limiter{Store: memory.New(), Keys: ring(t, 0)}
		guesses := 0
		for n := range uint32(30 * 24 * 60) { // a month of guesses, one a minute
			ticket, err := l.Reserve(t.Context(), from("anna", n))
			if err != nil {
				t.Fatal(err)
			}
			if !ticket.Locked() {
				guesses++
			}
			time.Sleep(time.Minute)
		}
		// A hundred at once, one a day: SP 800-63B-4, 3.2.2.
		if guesses < 100 || guesses > 130 {
			t.Errorf("%d guesses in a month", guesses)
		}
		if got := l.Stats(); got.Counted != uint64(guesses) || got.RefusedAccount == 0 {
			t.Errorf("%+v", got)
		}
		if err := l.Prune(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRefund(t *testing.T) {
	l := &throttle.Limiter{Store: memory.New(), Keys: ring(t, 0)}
	for range 1000 {
		ticket, err := l.Reserve(t.Context(), from("anna", 1))
		if err != nil || ticket.Locked() {
			t.Fatalf("%v, locked %v", err, ticket.Locked())
		}
		for range 2 { // twice is as good as once
			if err := ticket.Refund(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := ring(t, 0)
		l := &throttle.Limiter{Store: memory.New(), Keys: keys, Trust: 30 * 24 * time.Hour}
		trusted := func(name, value string) bool {
			t.Helper()
			ticket, err := l.Reserve(t.Context(), throttle.Attempt{Name: name, Device: value, Addr: netip.MustParseAddr("192.0.2.1")})
			if err != nil {
				t.Fatal(err)
			}
			defer ticket.Refund(t.Context())
			return ticket.Trusted()
		}
		anna := l.Trusted("", "anna")
		if !trusted("anna", anna) || trusted("ben", anna) || trusted("", anna) || trusted("anna", "") {
			t.Error("a cookie vouches for anna alone")
		}
		for i := range anna {
			if changed := anna[:i] + string(anna[i]^1) + anna[i+1:]; trusted("anna", changed) {
				t.Errorf("a cookie that was changed at %d is good: %s", i, changed)
			}
			if trusted("anna", anna[:i]) {
				t.Errorf("the first %d bytes of a cookie are good", i)
			}
		}
		both := l.Trusted(anna, "ben")
		if !trusted("anna", both) || !trusted("ben", both) {
			t.Error("a browser of two people")
		}
		if again := l.Trusted(both, "ben"); len(again) != len(both) || again == both {
			t.Error("a second login of ben replaces the first")
		}
		family := both
		for n := range 10 {
			family = l.Trusted(family, fmt.Sprint("child", n))
		}
		if trusted("anna", family) || !trusted("child9", family) || !trusted("child5", family) || len(family) > 600 {
			t.Errorf("a browser of twelve people remembers the newest five: %d bytes", len(family))
		}
		// What somebody put into the cookie is not carried along.
		if got := l.Trusted("junk~"+strings.Repeat("x", 200), "anna"); strings.Contains(got, "junk") || strings.Contains(got, "xx") {
			t.Errorf("junk stays: %s", got)
		}

		if err := keys.Rotate([]byte(strings.Repeat("z", 32))); err != nil {
			t.Fatal(err)
		}
		if !trusted("anna", anna) {
			t.Error("a cookie under the previous key is not good")
		}
		other := &throttle.Limiter{Store: memory.New(), Keys: ring(t, 1)}
		if ticket, err := other.Reserve(t.Context(), throttle.Attempt{Name: "anna", Device: anna}); err != nil || ticket.Trusted() {
			t.Errorf("a cookie of another program: %v", err)
		}
		time.Sleep(30*24*time.Hour - time.Second)
		if !trusted("anna", anna) {
			t.Error("a cookie is not good on its last day")
		}
		time.Sleep(time.Second)
		if trusted("anna", anna) {
			t.Error("a cookie is good for ever")
		}

		c := l.Cookie(both)
		if c.Name != "__Host-device" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || c.Valid() != nil {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzDevice(f *testing.F) {
	l := &throttle.Limiter{Store: memory.New(), Keys: ring(f, 0)}
	good := l.Trusted("", "anna")
	f.Add("", "anna")
	f.Add(good, "ben")
	f.Add(good+"~"+good, "ben")
	f.Add("a.b.c~~..", "")
	f.Fuzz(func(t *testing.T, value, name string) {
		ticket, err := l.Reserve(t.Context(), throttle.Attempt{Name: name, Device: value, Addr: netip.AddrFrom16([16]byte([]byte(rand.Text())))})
		if err != nil {
			t.Fatal(err)
		}
		if ticket.Trusted() && name != "anna" {
			t.Errorf("%q vouches for %q", value, name)
		}
		next := l.Trusted(value, name)
		if c := l.Cookie(next); c.Valid() != nil || len(next) > 600 {
			t.Errorf("from %q: %q: %v", value, next, c.Valid())
		}
	})
}

// A broken store counts as often as it says, and then no more.
type broken struct {
	throttle.Store
	left int
}

func (b *broken) Take(ctx context.Context, k throttle.Bucket, r throttle.Rate, now time.Time) (time.Duration, error) {
	if b.left--; b.left < 0 {
		return 0, errors.New("the disk is full")
	}
	return b.Store.Take(ctx, k, r, now)
}

// An attempt that cannot be counted is not let through, whichever counter fails.
func TestStoreFails(t *testing.T) {
	for left := range 4 {
		l := &throttle.Limiter{Store: &broken{memory.New(), left}, Keys: ring(t, 0)}
		ticket, err := l.Reserve(t.Context(), from("anna", 1))
		var many *throttle.TooManyError
		if failed := left < 3; failed != (err != nil) || failed != (ticket == nil) || errors.As(err, &many) {
			t.Errorf("after %d counts: %v", left, err)
		}
	}
}
