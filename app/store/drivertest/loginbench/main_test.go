package main

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
	"github.com/holdfast-security/holdfast/app/store/drivertest/timing"
)

// A small form of the measurement, with cheap hashes and a larger planted gap:
// refusals of all kinds cannot be told apart by the fastest of five.
func TestRefusalsTakeTheSameTime(t *testing.T) {
	const (
		rounds = 60
		of     = 5
		gap    = 4 * time.Millisecond
	)
	server := drivertest.Require(t, drivertest.SQLite)
	s := drivertest.Store(t, server)
	cheap := load{bcrypt: 5, pbkdf2: 2000, attempts: 100, preferred: password.Argon2id{Memory: 1024, Time: 1, InsecureWeak: true}}
	if err := seed(t.Context(), s, cheap); err != nil {
		t.Fatal(err)
	}
	service, err := wire(s, &gate.Gate{}, cheap)
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := sample{}
	for range rounds {
		names := append([]string{planted}, refusals...)
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			id := name
			if name == planted {
				id = "nobody"
			}
			start := time.Now()
			_, err := service.Login(t.Context(), login.Attempt{ID: id, Password: "a wrong password", Addr: netip.MustParseAddr("192.0.2.1")})
			if !errors.Is(err, login.ErrDenied) {
				t.Fatalf("%s: %v", name, err)
			}
			took := time.Since(start)
			if name == planted {
				took += gap
			}
			all[name] = append(all[name], took)
		}
	}
	base := timing.Fastest(all["nobody"], of)
	seen := timing.Compare(base, timing.Fastest(all[planted], of), 0.95)
	if seen.AUC < plantedAUC {
		t.Skipf("too noisy: a gap of %v has %s", gap, area(seen))
	}
	for _, name := range refusals[1:] {
		// Wrong in one of a thousand runs of all names.
		got := timing.Compare(base, timing.Fastest(all[name], of), 1-0.001/float64(len(refusals)-1))
		if got.Tells() {
			t.Errorf("%s: %s, median %v beside %v", name, area(got), timing.Median(all[name]), timing.Median(all["nobody"]))
		}
	}
	t.Logf("planted %s, late %d", area(seen), service.Stats().Late)
}
