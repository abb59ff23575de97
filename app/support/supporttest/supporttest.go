// Package supporttest is the suite of package support: what its manual promises,
// tried on a real store, also from many goroutines at a time and by random calls.
//
//	supporttest.Run(t, func(t *testing.T) *store.Store { ... })
//
// If a promise is broken, the test fails and names it.
package supporttest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/recovery"
	"github.com/holdfast-security/holdfast/app/support"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// A Store is what the suite needs of a store: all that support must not change too.
type Store[S any] interface {
	support.Store[S]
	recovery.Tokens
	recovery.Ender
	mfa.Factors
	mfa.Codes
	mfa.Challenges
	mfa.Records
	login.Accounts
	login.Directory
	throttle.Store
	outbox.Queue
	SetPhone(ctx context.Context, account, phone string) error
}

// Run tries the desk. open makes a fresh, empty store for each test.
func Run[S Store[S]](t *testing.T, open func(t *testing.T) S) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *program[S])
	}{
		{"a call", call[S]},
		{"bound to staff and case", bound[S]},
		{"five tries", fiveTries[S]},
		{"one of many confirms", oneConfirms[S]},
		{"three codes", threeCodes[S]},
		{"ten minutes", tenMinutes[S]},
		{"no use for login", noLogin[S]},
		{"nothing changes", nothingChanges[S]},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t, open(t))) })
	}
}

// A program is a desk with everything it needs.
type program[S Store[S]] struct {
	*support.Service[S]
	keys   *keyring.Ring
	hasher *password.Hasher
	resets *recovery.Service[S]
	phones phones
	anna   login.Account
	ben    login.Account
}

// phones takes messages.
type phones struct {
	mu   sync.Mutex
	got  []string
	fail error
}

func (p *phones) Send(_ context.Context, _, text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.got = append(p.got, text)
	return nil
}

const (
	readTodos  support.Action = "read to-dos"
	countTodos support.Action = "count to-dos"
)

func start[S Store[S]](t *testing.T, s S) *program[S] {
	t.Helper()
	keys, err := keyring.New([]byte("a secret of thirty-two bytes or more"))
	if err != nil {
		t.Fatal(err)
	}
	p := &program[S]{keys: keys}
	p.hasher = &password.Hasher{
		Preferred: password.Argon2id{Memory: 256, Time: 1, InsecureWeak: true},
		Gate:      &gate.Gate{Queue: 100, Wait: time.Minute},
	}
	limiter := &throttle.Limiter{Store: s, Keys: keys}
	p.resets = &recovery.Service[S]{
		Store: s, Hasher: p.hasher, Throttle: limiter, ResetURL: "https://todo.example.org/reset",
		Mail:   func(_ login.Account, link string) outbox.Mail { return outbox.Mail{Subject: "reset", Text: link} },
		Notice: func(login.Account) outbox.Mail { return outbox.Mail{Subject: "notice"} },
	}
	p.Service = &support.Service[S]{
		Store: s, Keys: keys, Resets: p.resets, SMS: &p.phones, Program: "To-do",
		Actions: []support.Action{readTodos, countTodos},
	}
	for _, a := range []*login.Account{&p.anna, &p.ben} {
		id := login.ID("anna")
		if a == &p.ben {
			id = "ben"
		}
		hash, err := p.hasher.Hash(t.Context(), "the password of "+string(id))
		if err != nil {
			t.Fatal(err)
		}
		*a = login.NewAccount(id, string(id)+"@example.org", hash)
		if err := s.AddAccount(t.Context(), *a); err != nil {
			t.Fatal(err)
		}
		if err := s.SetPhone(t.Context(), a.Key, "+4917012345"+fmt.Sprint(len(id))); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *program[S]) open(t *testing.T, staff string, actions ...support.Action) string {
	t.Helper()
	id, err := p.Open(t.Context(), staff, p.anna.Key, "cannot find a to-do", actions...)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

var codeShape = regexp.MustCompile(`\d{4} \d{4}`)

// code sends a code to the phone and returns it.
func (p *program[S]) code(t *testing.T, staff, id string) string {
	t.Helper()
	if err := p.SendCode(t.Context(), staff, id, support.SMS); err != nil {
		t.Fatal(err)
	}
	return codeShape.FindString(p.phones.got[len(p.phones.got)-1])
}

func (p *program[S]) denied(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, support.ErrDenied) {
		t.Errorf("%s: %v", what, err)
	}
}

func call[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	id := p.open(t, "staff", readTodos)
	_, err := p.Allow(ctx, "staff", id, readTodos)
	p.denied(t, "an action before the code", err)
	if err := p.SendCode(ctx, "staff", id, support.Mail); err != nil {
		t.Fatal(err)
	}
	m, ok, err := p.Store.LeaseMail(ctx, time.Now(), time.Now())
	if err != nil || !ok || m.To != p.anna.Mail {
		t.Fatalf("mail %+v, %v", m, err)
	}
	code := codeShape.FindString(m.Text)
	p.denied(t, "a wrong code", p.Confirm(ctx, "staff", id, "0000 000"))
	// The ring rotates during the call.
	if err := p.keys.Rotate([]byte("another secret of thirty-two bytes or more")); err != nil {
		t.Fatal(err)
	}
	if err := p.Confirm(ctx, "staff", id, " "+strings.ReplaceAll(code, " ", "-")); err != nil {
		t.Fatalf("the code: %v", err)
	}
	p.denied(t, "the code again", p.Confirm(ctx, "staff", id, code))
	if account, err := p.Allow(ctx, "staff", id, readTodos); account != p.anna.Key || err != nil {
		t.Errorf("the action: %q, %v", account, err)
	}
	for _, other := range []support.Action{countTodos, "delete to-dos", ""} {
		_, err := p.Allow(ctx, "staff", id, other)
		p.denied(t, "an action that the case does not name", err)
	}
	_, err = p.Allow(ctx, "colleague", id, readTodos)
	p.denied(t, "an action by somebody else", err)
	acts, err := p.Acts(ctx, "staff", id)
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for _, a := range acts {
		what = append(what, a.What)
		if a.Staff != "staff" || a.Account != p.anna.Key || a.Case != id || time.Since(a.Time) > time.Minute {
			t.Errorf("act %+v", a)
		}
	}
	want := []string{
		support.Opened, support.ActionRefused, support.CodeSent, support.CodeRefused, support.CodeConfirmed, support.CodeRefused,
		string(readTodos), support.ActionRefused, support.ActionRefused, support.ActionRefused,
	}
	slices.Sort(what) // two acts may have one time
	slices.Sort(want)
	if !slices.Equal(what, want) {
		t.Errorf("acts %q, want %q", what, want)
	}
	if _, err := p.Acts(ctx, "colleague", id); !errors.Is(err, support.ErrNoCase) {
		t.Errorf("acts for somebody else: %v", err)
	}
	if _, err := p.Open(ctx, "staff", p.anna.Key, "a\nb"); !errors.Is(err, support.ErrDetail) {
		t.Errorf("a reason of two lines: %v", err)
	}
	if _, err := p.Open(ctx, "staff", p.anna.Key, "", "set password"); !errors.Is(err, support.ErrDetail) {
		t.Errorf("a made-up action: %v", err)
	}
	if _, err := p.Open(ctx, "staff", "nobody", ""); !errors.Is(err, login.ErrNoAccount) {
		t.Errorf("a case about nobody: %v", err)
	}
}

func bound[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	one, two := p.open(t, "staff", readTodos), p.open(t, "staff", readTodos)
	theirs := p.open(t, "colleague", readTodos)
	code := p.code(t, "staff", one)
	p.code(t, "staff", two)
	p.code(t, "colleague", theirs)
	p.denied(t, "in another case", p.Confirm(ctx, "staff", two, code))
	p.denied(t, "by a colleague in her case", p.Confirm(ctx, "colleague", theirs, code))
	p.denied(t, "by a colleague in this case", p.Confirm(ctx, "colleague", one, code))
	if err := p.SendCode(ctx, "colleague", one, support.SMS); !errors.Is(err, support.ErrNoCase) {
		t.Errorf("a code for somebody else's case: %v", err)
	}
	if err := p.SendReset(ctx, "colleague", one); !errors.Is(err, support.ErrNoCase) {
		t.Errorf("a reset in somebody else's case: %v", err)
	}
	if err := p.Confirm(ctx, "staff", one, code); err != nil {
		t.Errorf("in its own case: %v", err)
	}
}

func fiveTries[S Store[S]](t *testing.T, p *program[S]) {
	id := p.open(t, "staff", readTodos)
	code := p.code(t, "staff", id)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { p.denied(t, "a guess", p.Confirm(t.Context(), "staff", id, fmt.Sprint("x", i))) })
	}
	all.Wait()
	p.denied(t, "the code after five guesses", p.Confirm(t.Context(), "staff", id, code))
	id = p.open(t, "staff", readTodos)
	code = p.code(t, "staff", id)
	for i := range support.CodeTries - 1 {
		p.denied(t, "a guess", p.Confirm(t.Context(), "staff", id, fmt.Sprint("x", i)))
	}
	if err := p.Confirm(t.Context(), "staff", id, code); err != nil {
		t.Errorf("the code after four guesses: %v", err)
	}
}

func oneConfirms[S Store[S]](t *testing.T, p *program[S]) {
	id := p.open(t, "staff", readTodos)
	code := p.code(t, "staff", id)
	var won atomic.Int64
	var all sync.WaitGroup
	for range support.CodeTries {
		all.Go(func() {
			switch err := p.Confirm(t.Context(), "staff", id, code); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, support.ErrDenied):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("one code was confirmed %d times", won.Load())
	}
}

func threeCodes[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	id := p.open(t, "staff", readTodos)
	first := p.code(t, "staff", id)
	second := p.code(t, "staff", id)
	if first != second {
		p.denied(t, "an earlier code", p.Confirm(ctx, "staff", id, first))
	}
	p.phones.fail = errors.New("no network")
	if err := p.SendCode(ctx, "staff", id, support.SMS); !errors.Is(err, p.phones.fail) {
		t.Errorf("a message that cannot be sent: %v", err)
	}
	p.phones.fail = nil
	if err := p.SendCode(ctx, "staff", id, support.SMS); !errors.Is(err, support.ErrEnough) {
		t.Errorf("a fourth code: %v", err)
	}
	other, err := p.Open(ctx, "staff", p.ben.Key, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Store.SetPhone(ctx, p.ben.Key, ""); err != nil {
		t.Fatal(err)
	}
	for _, by := range []support.Channel{support.SMS, "pigeon"} {
		if err := p.SendCode(ctx, "staff", other, by); !errors.Is(err, support.ErrNoContact) {
			t.Errorf("a code by %s: %v", by, err)
		}
	}
	if err := p.SendReset(ctx, "staff", other); err != nil {
		t.Errorf("SendReset: %v", err)
	}
	if err := p.SendReset(ctx, "staff", other); !errors.Is(err, support.ErrEnough) {
		t.Errorf("SendReset again: %v", err)
	}
	m, ok, err := p.Store.LeaseMail(ctx, time.Now(), time.Now())
	if err != nil || !ok || m.To != p.ben.Mail || m.Subject != "reset" {
		t.Errorf("the mail of a reset: %+v, %v", m, err)
	}
}

func tenMinutes[S Store[S]](t *testing.T, p *program[S]) {
	if support.CodeLife > 10*time.Minute || support.CodeTries > 5 {
		t.Errorf("a code is good for %v and %d tries", support.CodeLife, support.CodeTries)
	}
	id := p.open(t, "staff", readTodos)
	p.code(t, "staff", id)
	for later, good := range map[time.Duration]bool{support.CodeLife - time.Second: true, support.CodeLife: false} {
		_, err := p.Store.TryCaseCode(t.Context(), id, "staff", time.Now().Add(later))
		if good != (err == nil) || !good && !errors.Is(err, support.ErrNoCase) {
			t.Errorf("a code after %v: %v", later, err)
		}
	}
}
