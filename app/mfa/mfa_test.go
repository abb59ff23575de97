package mfa_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/mfa/mfatest"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/throttle"
)

func TestPromises(t *testing.T) {
	mfatest.Run(t, func(*testing.T) func() *memory.Store {
		s := memory.New()
		return func() *memory.Store { return s }
	})
}

func Example() {
	ctx := context.Background()
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		fmt.Println(err)
		return
	}
	s := memory.New() // or one of app/store
	second := &mfa.Service[*memory.Store]{
		Store: s, Keys: ring, Throttle: &throttle.Limiter{Store: s, Keys: ring}, Issuer: "To-do",
	}

	e := second.Enroll("account 1", "anna@example.org")
	shown, err := mfa.Code(e.Secret, time.Now()) // by the app
	if err != nil {
		fmt.Println(err)
		return
	}
	codes, err := second.Confirm(ctx, "account 1", e.Sealed, shown)
	fmt.Println(len(codes), "recovery codes", err)

	token, err := second.Challenge(ctx, "account 1", 0) // after the password
	if err != nil {
		fmt.Println(err)
		return
	}
	client := netip.MustParseAddr("192.0.2.7")
	_, err = second.Answer(ctx, mfa.Answer{Token: token, Code: shown, Addr: client})
	fmt.Println("the same code again:", err)
	passed, err := second.Answer(ctx, mfa.Answer{Token: token, Code: codes[0], Addr: client})
	fmt.Println(passed.Account, "by", passed.By, err)
	// Output:
	// 10 recovery codes <nil>
	// the same code again: code is wrong
	// account 1 by recovery code <nil>
}
