package account_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/account"
	"github.com/holdfast-security/holdfast/app/account/accounttest"
	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/session"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/throttle"
)

var _ account.Who = session.Session{}

func TestPromises(t *testing.T) {
	accounttest.Run(t, func(*testing.T) *memory.Store { return memory.New() })
}

func Example() {
	ctx, s, client := context.Background(), memory.New(), netip.MustParseAddr("192.0.2.7")
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		fmt.Println(err)
		return
	}
	hasher, limiter := &password.Hasher{}, &throttle.Limiter{Store: s, Keys: ring}
	accounts := &account.Service[*memory.Store]{
		Store: s, Hasher: hasher, Throttle: limiter,
		Login:   &login.Service{Accounts: s, Hasher: hasher, Throttle: limiter},
		Second:  &mfa.Service[*memory.Store]{Store: s, Keys: ring, Throttle: limiter, Issuer: "To-do"},
		Program: "To-do", BaseURL: "https://todo.example.org",
	}
	fmt.Println("check:", accounts.Check())
	fmt.Println("register:", accounts.Register(ctx, "anna@example.org", client))

	m, _, err := s.LeaseMail(ctx, time.Now(), time.Now()) // by outbox.Deliver
	if err != nil {
		fmt.Println(err)
		return
	}
	_, token, _ := strings.Cut(m.Text, "?token=")
	_, err = accounts.Finish(ctx, strings.TrimSpace(token), "some words of mine")
	fmt.Println("finish:", err)

	in, err := accounts.Enter(ctx, login.Attempt{ID: "anna@example.org", Password: "some words of mine", Addr: client})
	fmt.Println("enter by", in.By, err)
	// Output:
	// check: <nil>
	// register: <nil>
	// finish: <nil>
	// enter by password <nil>
}
