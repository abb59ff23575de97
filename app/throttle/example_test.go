package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/throttle"
)

func Example() {
	ctx := context.Background()
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		fmt.Println(err)
		return
	}
	limiter := &throttle.Limiter{
		Store: memory.New(), Keys: ring,
		Account: []throttle.Rate{{Burst: 2, Every: 10 * time.Minute}},
	}
	owner := limiter.Trusted("", "anna") // the cookie of an earlier login

	guess := throttle.Attempt{Name: "anna", Addr: netip.MustParseAddr("192.0.2.7")}
	for range 3 {
		ticket, err := limiter.Reserve(ctx, guess)
		fmt.Println("stranger: locked", ticket.Locked(), err)
	}
	ticket, err := limiter.Reserve(ctx, throttle.Attempt{Name: "anna", Addr: netip.MustParseAddr("198.51.100.1"), Device: owner})
	fmt.Println("owner: locked", ticket.Locked(), err)
	fmt.Println("after the right password:", ticket.Refund(ctx))
	// Output:
	// stranger: locked false <nil>
	// stranger: locked false <nil>
	// stranger: locked true <nil>
	// owner: locked false <nil>
	// after the right password: <nil>
}

func ExampleTooManyError() {
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		fmt.Println(err)
		return
	}
	limiter := &throttle.Limiter{Store: memory.New(), Keys: ring, Network: []throttle.Rate{{Burst: 1, Every: time.Hour}}}
	for _, addr := range []string{"2001:db8::1", "2001:db8::2"} { // one /64
		_, err := limiter.Reserve(context.Background(), throttle.Attempt{Name: "anna", Addr: netip.MustParseAddr(addr)})
		var many *throttle.TooManyError
		if errors.As(err, &many) {
			fmt.Println("429, Retry-After:", many.RetryAfter)
		}
	}
	// Output: 429, Retry-After: 1h0m0s
}
