package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/store/memory"
)

func TestCheck(t *testing.T) {
	good := outbox.Mail{To: "anna@example.org", Subject: "Grüße", Text: "a\nb"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for what, m := range map[string]outbox.Mail{
		"no address":        {},
		"a name":            {To: "Anna <anna@example.org>"},
		"two addresses":     {To: "anna@example.org, eve@example.org"},
		"a second header":   {To: "anna@example.org\r\nBcc: eve@example.org"},
		"a folded address":  {To: "anna@example.org\r\n\t"},
		"a long subject":    {To: "anna@example.org", Subject: strings.Repeat("a", 201)},
		"lines of subject":  {To: "anna@example.org", Subject: "a\nBcc: eve@example.org"},
		"a return":          {To: "anna@example.org", Subject: "a\rb"},
		"a unicode line":    {To: "anna@example.org", Subject: "a\u2028b"},
		"no UTF-8":          {To: "anna@example.org", Subject: "\xff"},
		"a long text":       {To: "anna@example.org", Text: strings.Repeat("a", outbox.MaxText+1)},
		"a NUL in the text": {To: "anna@example.org", Text: "a\x00b"},
	} {
		if err := m.Check(); !errors.Is(err, outbox.ErrMail) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("anna@example.org", "Hello", "text")
	f.Add("anna@example.org\r\nBcc: eve@example.org", "a\nb", "")
	f.Add("\"a b\"@example.org", "", "")
	f.Fuzz(func(t *testing.T, to, subject, text string) {
		if (outbox.Mail{To: to, Subject: subject, Text: text}).Check() != nil {
			return
		}
		if strings.ContainsAny(to+subject, "\r\n\x00") {
			t.Errorf("a line break in %q or %q", to, subject)
		}
		if a, err := mail.ParseAddress(to); err != nil || a.Address != to {
			t.Errorf("address %q: %v", to, err)
		}
	})
}

func TestDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, q := t.Context(), memory.New()
		for n := range 3 {
			if err := q.PutMail(ctx, outbox.Mail{To: "anna@example.org", Subject: fmt.Sprint(n)}); err != nil {
				t.Fatal(err)
			}
		}
		down := errors.New("the mail server is down")
		tries := map[string]int{}
		send := func(_ context.Context, m outbox.Mail) error {
			tries[m.Subject]++
			if m.Subject == "1" {
				return down
			}
			return nil
		}
		if n, err := outbox.Deliver(ctx, q, send, 1); n != 1 || err != nil {
			t.Errorf("one: %d, %v", n, err)
		}
		if n, err := outbox.Deliver(ctx, q, send, 10); n != 1 || !errors.Is(err, down) {
			t.Errorf("the rest: %d, %v", n, err)
		}
		if n, err := outbox.Deliver(ctx, q, send, 10); n != 0 || err != nil || tries["1"] != 1 {
			t.Errorf("at once again: %d, %v, %v", n, err, tries)
		}
		for range 100 * 60 { // a hundred hours, once a minute
			time.Sleep(time.Minute)
			outbox.Deliver(ctx, q, send, 10)
		}
		if tries["0"] != 1 || tries["1"] != outbox.MaxTries || tries["2"] != 1 {
			t.Errorf("tries: %v", tries)
		}
		if _, ok, err := q.LeaseMail(ctx, time.Now().Add(1000*time.Hour), time.Now()); ok || err != nil {
			t.Errorf("a mail stays for ever: %v", err)
		}
	})
}

func Example() {
	ctx, queue := context.Background(), memory.New()
	err := queue.PutMail(ctx, outbox.Mail{To: "anna@example.org", Subject: "Your password was changed", Text: "..."})
	fmt.Println(err)
	send := func(_ context.Context, m outbox.Mail) error {
		fmt.Println("to", m.To, "about", m.Subject) // a program speaks SMTP here
		return nil
	}
	fmt.Println(outbox.Deliver(ctx, queue, send, 20))
	// Output:
	// <nil>
	// to anna@example.org about Your password was changed
	// 1 <nil>
}
