package support_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/support"
	"github.com/holdfast-security/holdfast/app/support/supporttest"
)

func TestPromises(t *testing.T) {
	supporttest.Run(t, func(*testing.T) *memory.Store { return memory.New() })
}

// phone shows the last message.
type phone struct{ text string }

func (p *phone) Send(_ context.Context, _, text string) error { p.text = text; return nil }

var shape = regexp.MustCompile(`\d{4} \d{4}`)

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s, p := t.Context(), memory.New(), &phone{}
		ring, err := keyring.Parse(keyring.Generate())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.AddAccount(ctx, login.Account{Key: "anna", ID: "anna"}), s.SetPhone(ctx, "anna", "+491701234567")); err != nil {
			t.Fatal(err)
		}
		desk := &support.Service[*memory.Store]{Store: s, Keys: ring, SMS: p, Actions: []support.Action{"read"}}
		for after, good := range map[time.Duration]bool{support.CodeLife - time.Second: true, support.CodeLife: false} {
			id, err := desk.Open(ctx, "staff", "anna", "", "read")
			if err != nil {
				t.Fatal(err)
			}
			if err := desk.SendCode(ctx, "staff", id, support.SMS); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			if err := desk.Confirm(ctx, "staff", id, shape.FindString(p.text)); good != (err == nil) {
				t.Errorf("a code after %v: %v", after, err)
			}
			if !good {
				continue
			}
			time.Sleep(support.OpenLife - time.Second)
			if _, err := desk.Allow(ctx, "staff", id, "read"); err != nil {
				t.Errorf("an action in time: %v", err)
			}
			time.Sleep(time.Second)
			if _, err := desk.Allow(ctx, "staff", id, "read"); !errors.Is(err, support.ErrDenied) {
				t.Errorf("an action too late: %v", err)
			}
		}
	})
}

func Example() {
	ctx, s, p := context.Background(), memory.New(), &phone{}
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		fmt.Println(err)
		return
	}
	anna := login.NewAccount("anna", "anna@example.org", "")
	if err := errors.Join(s.AddAccount(ctx, anna), s.SetPhone(ctx, anna.Key, "+491701234567")); err != nil {
		fmt.Println(err)
		return
	}
	desk := &support.Service[*memory.Store]{
		Store: s, Keys: ring, SMS: p, Program: "To-do", Actions: []support.Action{"read to-dos"},
	}
	id, err := desk.Open(ctx, "staff 7", anna.Key, "cannot find a to-do", "read to-dos")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = desk.Allow(ctx, "staff 7", id, "read to-dos")
	fmt.Println("before the code:", err)
	fmt.Println("sent:", desk.SendCode(ctx, "staff 7", id, support.SMS))
	fmt.Println("read back:", desk.Confirm(ctx, "staff 7", id, shape.FindString(p.text)))
	account, err := desk.Allow(ctx, "staff 7", id, "read to-dos")
	fmt.Println("after it:", account == anna.Key, err)
	// Output:
	// before the code: refused
	// sent: <nil>
	// read back: <nil>
	// after it: true <nil>
}
