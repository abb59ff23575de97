package accounttest

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/account"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/recovery"
	"github.com/holdfast-security/holdfast/app/throttle"
)

func register[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	is(t, "Register", p.Register(ctx, " Anna@Example.org ", p.addr()), nil)
	tok := token(t, p.told(t, "anna@example.org Your registration")[0], account.RegisterPage)
	if _, err := p.Store.FindAccount(ctx, "anna@example.org"); !errors.Is(err, login.ErrNoAccount) {
		t.Errorf("an account before the address is confirmed: %v", err)
	}
	is(t, "looking", errors.Join(p.LookRegister(ctx, tok), p.LookRegister(ctx, tok)), nil)
	var weak *recovery.WeakError
	for _, pw := range []string{"short", "anna@example.org anna", ""} {
		if _, err := p.Finish(ctx, tok, pw); !errors.As(err, &weak) {
			t.Errorf("Finish with %q: %v", pw, err)
		}
	}
	var opened atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch _, err := p.Finish(ctx, tok, first); {
			case err == nil:
				opened.Add(1)
			case !errors.Is(err, recovery.ErrNoToken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if opened.Load() != 1 {
		t.Errorf("one link has opened %d accounts", opened.Load())
	}
	if e, err := p.enter(ctx, "anna@example.org", first); err != nil || e.By != account.ByPassword || e.Challenge != "" {
		t.Errorf("Enter: %+v, %v", e, err)
	}
	if key, err := p.Find(ctx, "ANNA@example.org "); err != nil || key == "" {
		t.Errorf("Find: %q, %v", key, err)
	}
	for _, bad := range []string{"", "anna", "a@b@c", "anna@example.org\r\nBcc: eve@example.org", "Anna <anna@example.org>", strings.Repeat("a", 400) + "@example.org"} {
		is(t, "Register "+bad, p.Register(ctx, bad, p.addr()), account.ErrAddress)
	}
	p.told(t)
}

// Known and unknown addresses get the same answer at the same time.
func sameAnswer[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	p.join(t, "anna@example.org")
	_, ben := p.join(t, "ben@example.org")
	for _, ask := range []func(string) error{
		func(mail string) error { return p.Register(ctx, mail, p.addr()) },
		func(mail string) error { return p.RequestMail(ctx, ben, mail, p.addr()) },
	} {
		for _, mail := range []string{"anna@example.org", "nobody@example.org", "anna@example.org", "somebody@example.org"} {
			began := time.Now()
			is(t, mail, ask(mail), nil)
			if took := time.Since(began); took < deadline || took%deadline > deadline/2 {
				t.Errorf("%s: answered after %v, the deadline is %v", mail, took, deadline)
			}
		}
	}
	for _, m := range p.mails(t) {
		if m.To == "anna@example.org" && strings.Contains(m.Text, "https://") {
			t.Errorf("a link to an address that has an account: %+v", m)
		}
	}
	from := p.addr()
	var many *throttle.TooManyError
	for i := 0; i < 60; i++ {
		if _, err := p.Throttle.Reserve(ctx, throttle.Attempt{Name: "x", Addr: from}); errors.As(err, &many) {
			break
		}
	}
	for _, mail := range []string{"anna@example.org", "new@example.org"} {
		if err := p.Register(ctx, mail, from); !errors.As(err, &many) {
			t.Errorf("%s from a network that asks too often: %v", mail, err)
		}
	}
}

func secondFactor[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	a, w := p.join(t, "anna@example.org")
	codes, _ := p.factor(t, a, w)
	e, err := p.enter(ctx, "anna@example.org", first)
	if err != nil || e.By != "" || e.Challenge == "" {
		t.Fatalf("Enter with a factor: %+v, %v", e, err)
	}
	_, err = p.Answer(ctx, mfa.Answer{Token: e.Challenge, Code: "000000", Addr: p.addr()})
	is(t, "a wrong code", err, mfa.ErrDenied)
	in, err := p.Answer(ctx, mfa.Answer{Token: e.Challenge, Code: codes[0], Addr: p.addr()})
	if err != nil || in.Account != a.Key || in.By != "password recovery code" || in.Epoch != a.Epoch {
		t.Errorf("Answer: %+v, %v", in, err)
	}
	// The password changes between the two factors.
	if e, err = p.enter(ctx, "anna@example.org", first); err != nil {
		t.Fatal(err)
	}
	is(t, "SetPassword", p.Store.SetPassword(ctx, a.Key, a.Password), nil)
	_, err = p.Answer(ctx, mfa.Answer{Token: e.Challenge, Code: codes[1], Addr: p.addr()})
	is(t, "a challenge of an earlier password", err, mfa.ErrDenied)
	_, err = p.Lose(ctx, e.Challenge)
	is(t, "a loss by an earlier password", err, mfa.ErrDenied)
}

// Nothing that matters happens on an old proof, or on half of one.
func stepUp[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	a, w := p.join(t, "anna@example.org")
	old := w
	old.r.Proven = time.Now().Add(-account.Fresh - time.Second)
	future := w
	future.r.Proven = time.Now().Add(time.Hour)
	_, withFactor := p.factor(t, a, w)
	withFactor.r.Proven = time.Now().Add(-account.Fresh - time.Second)
	for what, somebody := range map[string]who{"old": old, "from the future": future, "without the factor": w, "old with the factor": withFactor} {
		_, exported := p.Export(ctx, somebody)
		_, added := p.AddFactor(ctx, somebody, "", "")
		for name, err := range map[string]error{
			"ChangePassword": p.ChangePassword(ctx, somebody, login.Attempt{Password: first, Addr: p.addr()}, later),
			"RequestMail":    p.RequestMail(ctx, somebody, "new@example.org", p.addr()),
			"SetPhone":       p.SetPhone(ctx, somebody, "+491701234567"),
			"AddFactor":      added,
			"RemoveFactor":   p.RemoveFactor(ctx, somebody),
			"Export":         exported,
			"Close":          p.Close(ctx, somebody, nil),
		} {
			is(t, name+" on a proof that is "+what, err, account.ErrStepUp)
		}
	}
	p.told(t)
	if got, err := p.Store.Account(ctx, a.Key); err != nil || got != a {
		t.Errorf("something has changed: %+v, %v", got, err)
	}
	codes, err := p.Second.NewCodes(ctx, a.Key)
	is(t, "NewCodes", err, nil)
	_, err = p.StepUp(ctx, old, "wrong", codes[0], p.addr(), "")
	is(t, "StepUp with a wrong password", err, login.ErrDenied)
	_, err = p.StepUp(ctx, old, first, "", p.addr(), "")
	is(t, "StepUp without the factor", err, mfa.ErrDenied)
	by, err := p.StepUp(ctx, old, first, codes[0], p.addr(), "")
	is(t, "StepUp", err, nil)
	old.r.Proven, old.r.By = time.Now(), by
	is(t, "SetPhone after it", p.SetPhone(ctx, old, "+491701234567"), nil)
	is(t, "RemoveFactor after it", p.RemoveFactor(ctx, old), nil)
	p.told(t, "anna@example.org Your phone number was changed", "anna@example.org Your second factor was removed")
}

func changePassword[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	a, w := p.join(t, "anna@example.org")
	p.join(t, "ben@example.org")
	other := p.session(t, a, "2", "password")
	text, link := recovery.NewToken("reset", a.Key, a.Mail, time.Hour)
	is(t, "PutToken", p.Store.PutToken(ctx, link), nil)
	var weak *recovery.WeakError
	is(t, "with a wrong password", p.ChangePassword(ctx, w, login.Attempt{Password: "wrong", Addr: p.addr()}, later), login.ErrDenied)
	if err := p.ChangePassword(ctx, w, login.Attempt{Password: first, Addr: p.addr()}, "short"); !errors.As(err, &weak) {
		t.Errorf("to a short one: %v", err)
	}
	// The form cannot choose whose password it is.
	err := p.ChangePassword(ctx, w, login.Attempt{ID: "ben@example.org", Password: first, Addr: p.addr()}, later)
	is(t, "ChangePassword", err, nil)
	p.told(t, "anna@example.org Your password was changed")
	if !p.alive(t, w) || p.alive(t, other) {
		t.Errorf("this session goes on: %v, the other one: %v", p.alive(t, w), p.alive(t, other))
	}
	_, err = p.Store.FindToken(ctx, recovery.Hash(text), "reset", time.Now())
	is(t, "a link of before", err, recovery.ErrNoToken)
	_, err = p.enter(ctx, "anna@example.org", first)
	is(t, "the old password", err, login.ErrDenied)
	_, err = p.enter(ctx, "anna@example.org", later)
	is(t, "the new password", err, nil)
	_, err = p.enter(ctx, "ben@example.org", first)
	is(t, "somebody else's password", err, nil)
}

func changeAddress[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	a, w := p.join(t, "anna@example.org")
	is(t, "RequestMail", p.RequestMail(ctx, w, "New@example.org", p.addr()), nil)
	tok := token(t, p.told(t, "anna@example.org Your address is to be changed", "new@example.org Confirm your new address")[1], account.MailPage)
	if got, err := p.Store.Account(ctx, a.Key); err != nil || got != a {
		t.Errorf("changed before it is confirmed: %+v, %v", got, err)
	}
	_, err := p.Finish(ctx, tok, later)
	is(t, "the link as one of a registration", err, recovery.ErrNoToken)
	is(t, "the link as one that keeps a factor", p.KeepFactor(ctx, tok), recovery.ErrNoToken)
	is(t, "ConfirmMail", p.ConfirmMail(ctx, tok), nil)
	is(t, "ConfirmMail again", p.ConfirmMail(ctx, tok), recovery.ErrNoToken)
	p.told(t, "anna@example.org Your address was changed")
	if p.alive(t, w) {
		t.Error("a session goes on")
	}
	_, err = p.enter(ctx, "anna@example.org", first)
	is(t, "the old address", err, login.ErrDenied)
	e, err := p.enter(ctx, "new@example.org", first)
	if err != nil || e.Account != a.Key {
		t.Errorf("the new address: %+v, %v", e, err)
	}
}

func takenMeanwhile[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	a, w := p.join(t, "anna@example.org")
	is(t, "RequestMail", p.RequestMail(ctx, w, "new@example.org", p.addr()), nil)
	tok := token(t, p.mails(t)[1], account.MailPage)
	is(t, "AddAccount", p.Store.AddAccount(ctx, login.NewAccount("new@example.org", "new@example.org", "")), nil)
	for range 2 {
		is(t, "ConfirmMail", p.ConfirmMail(ctx, tok), login.ErrTaken)
	}
	if got, err := p.Store.Account(ctx, a.Key); err != nil || got != a || !p.alive(t, w) {
		t.Errorf("something has changed: %+v, %v", got, err)
	}
	p.told(t)
	// The same with a registration.
	is(t, "Register", p.Register(ctx, "late@example.org", p.addr()), nil)
	tok = token(t, p.mails(t)[0], account.RegisterPage)
	is(t, "AddAccount", p.Store.AddAccount(ctx, login.NewAccount("late@example.org", "late@example.org", "x")), nil)
	_, err := p.Finish(ctx, tok, later)
	is(t, "Finish", err, login.ErrTaken)
	if got, err := p.Store.FindAccount(ctx, "late@example.org"); err != nil || got.Password != "x" {
		t.Errorf("a registration has changed an account: %+v, %v", got, err)
	}
}

// challenge shows the password.
func (p *program[S]) challenge(t *testing.T, id string) string {
	t.Helper()
	e, err := p.enter(t.Context(), id, first)
	if err != nil {
		t.Fatal(err)
	}
	return e.Challenge
}

func lost[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	a, w := p.join(t, "anna@example.org")
	codes, w := p.factor(t, a, w)
	_, err := p.Lose(ctx, "made up")
	is(t, "Lose without the password", err, mfa.ErrDenied)
	is(t, "DropLost without a wait", p.DropLost(ctx, p.challenge(t, "anna@example.org")), account.ErrNoLoss)
	due, err := p.Lose(ctx, p.challenge(t, "anna@example.org"))
	if wait := time.Until(due); err != nil || wait < account.LossDelay-time.Minute || wait > account.LossDelay {
		t.Fatalf("Lose: %v, %v", wait, err)
	}
	p.told(t, "anna@example.org Your second factor will be removed")
	again, err := p.Lose(ctx, p.challenge(t, "anna@example.org"))
	if err != nil || !again.Truncate(time.Microsecond).Equal(due.Truncate(time.Microsecond)) {
		t.Errorf("Lose again: %v, %v; the first wait is over at %v", again, err, due)
	}
	is(t, "DropLost too early", p.DropLost(ctx, p.challenge(t, "anna@example.org")), account.ErrWait)
	p.told(t)
	// The wait is over.
	if ok, err := p.Store.DropLoss(ctx, a.Key); !ok || err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Store.PutLoss(ctx, a.Key, time.Now().Add(-time.Second)); !ok || err != nil {
		t.Fatal(err)
	}
	is(t, "DropLost without the password", p.DropLost(ctx, "made up"), mfa.ErrDenied)
	is(t, "DropLost", p.DropLost(ctx, p.challenge(t, "anna@example.org")), nil)
	p.told(t, "anna@example.org Your second factor was removed")
	if p.alive(t, w) {
		t.Error("a session goes on")
	}
	if e, err := p.enter(ctx, "anna@example.org", first); err != nil || e.By != account.ByPassword {
		t.Errorf("the login after it: %+v, %v", e, err)
	}
	_, err = p.Second.Verify(ctx, a.Key, codes[0], p.addr())
	is(t, "a recovery code after it", err, mfa.ErrDenied)
}

// The owner cancels, by the link or by the factor itself.
func kept[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	a, w := p.join(t, "anna@example.org")
	codes, _ := p.factor(t, a, w)
	_, err := p.Lose(ctx, p.challenge(t, "anna@example.org"))
	is(t, "Lose", err, nil)
	tok := token(t, p.mails(t)[0], account.CancelPage)
	is(t, "KeepFactor", p.KeepFactor(ctx, tok), nil)
	is(t, "KeepFactor again", p.KeepFactor(ctx, tok), recovery.ErrNoToken)
	p.told(t, "anna@example.org Your second factor stays")
	is(t, "DropLost after it", p.DropLost(ctx, p.challenge(t, "anna@example.org")), account.ErrNoLoss)

	_, err = p.Lose(ctx, p.challenge(t, "anna@example.org"))
	is(t, "Lose", err, nil)
	_, err = p.Answer(ctx, mfa.Answer{Token: p.challenge(t, "anna@example.org"), Code: codes[0], Addr: p.addr()})
	is(t, "Answer", err, nil)
	p.told(t, "anna@example.org Your second factor will be removed", "anna@example.org Your second factor stays")
	is(t, "DropLost after it", p.DropLost(ctx, p.challenge(t, "anna@example.org")), account.ErrNoLoss)
	if on, err := p.Second.Enabled(ctx, a.Key); !on || err != nil {
		t.Errorf("the factor has gone: %v", err)
	}
}

func leave[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	a, w := p.join(t, "anna@example.org")
	ben, benIn := p.join(t, "ben@example.org")
	is(t, "SetPhone", p.SetPhone(ctx, w, "+491701234567"), nil)
	p.mails(t)
	_, w = p.factor(t, a, w)
	e, err := p.Export(ctx, w)
	want := account.Export{LoginID: "anna@example.org", Mail: "anna@example.org", Phone: "+491701234567", HasPassword: true, SecondFactor: true, RecoveryCodes: mfa.CodeCount}
	if err != nil || e != want {
		t.Errorf("Export: %+v, %v", e, err)
	}
	text, err := json.Marshal(e)
	f, ferr := p.Store.Factor(ctx, a.Key)
	if err := errors.Join(err, ferr); err != nil || strings.Contains(string(text), a.Password) || strings.Contains(string(text), f.Sealed) {
		t.Errorf("the export shows a secret: %s, %v", text, err)
	}
	failed := errors.New("failed")
	is(t, "Close when the program fails", p.Close(ctx, w, func(S, login.Account) error { return failed }), failed)
	if got, err := p.Store.Account(ctx, a.Key); err != nil || got != a || !p.alive(t, w) {
		t.Errorf("something has changed: %+v, %v", got, err)
	}
	is(t, "Close", p.Close(ctx, w, nil), nil)
	p.told(t, "anna@example.org Your account was closed")
	_, err = p.enter(ctx, "anna@example.org", first)
	is(t, "the login of a closed account", err, login.ErrDenied)
	_, err = p.Store.Factor(ctx, a.Key)
	is(t, "its factor", err, mfa.ErrNoFactor)
	n, err := p.Store.CountCodes(ctx, a.Key)
	phone, perr := p.Store.Phone(ctx, a.Key)
	if err := errors.Join(err, perr); err != nil || n != 0 || phone != "" || p.alive(t, w) {
		t.Errorf("what is left: %d codes, phone %q, %v", n, phone, err)
	}
	if got, err := p.Store.Account(ctx, ben.Key); err != nil || got != ben || !p.alive(t, benIn) {
		t.Errorf("somebody else has changed: %+v, %v", got, err)
	}
	_, again := p.join(t, "anna@example.org")
	if again.Account() == a.Key {
		t.Error("a new account has the key of the closed one")
	}
}
