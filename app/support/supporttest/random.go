package supporttest

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/recovery"
	"github.com/holdfast-security/holdfast/app/support"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// A code that was read out to a swindler opens nothing.
func noLogin[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	limiter := &throttle.Limiter{Store: p.Store, Keys: p.keys}
	in := &login.Service{Accounts: p.Store, Hasher: p.hasher, Throttle: limiter, Deadline: time.Millisecond}
	second := &mfa.Service[S]{Store: p.Store, Keys: p.keys, Throttle: limiter}
	if err := p.Store.PutFactor(ctx, mfa.Factor{Account: p.anna.Key, Sealed: p.sealed(t, second)}); err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr("192.0.2.7")
	id := p.open(t, "staff", readTodos)
	code := p.code(t, "staff", id)
	token, err := second.Challenge(ctx, p.anna.Key, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{code, strings.ReplaceAll(code, " ", ""), code[:6], id} {
		if _, err := in.Login(ctx, login.Attempt{ID: "anna", Password: c, Addr: addr}); !errors.Is(err, login.ErrDenied) {
			t.Errorf("as a password: %v", err)
		}
		if _, err := second.Answer(ctx, mfa.Answer{Token: token, Code: c, Addr: addr}); !errors.Is(err, mfa.ErrDenied) {
			t.Errorf("as a second factor: %v", err)
		}
		if _, err := second.Answer(ctx, mfa.Answer{Token: c, Code: c, Addr: addr}); !errors.Is(err, mfa.ErrDenied) {
			t.Errorf("as a challenge: %v", err)
		}
		if err := p.resets.Reset(ctx, c, "a fresh password for anna's"); !errors.Is(err, recovery.ErrNoToken) {
			t.Errorf("as a link: %v", err)
		}
	}
	if err := p.Confirm(ctx, "staff", id, code); err != nil {
		t.Errorf("as what it is: %v", err)
	}
}

// sealed gives anna a factor by an enrolment, and returns what is stored of it.
func (p *program[S]) sealed(t *testing.T, second *mfa.Service[S]) string {
	t.Helper()
	e := second.Enroll(p.anna.Key, "anna")
	for range 3 { // a step may end in between
		code, err := mfa.Code(e.Secret, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := second.Confirm(t.Context(), p.anna.Key, e.Sealed, code); err == nil {
			break
		}
	}
	f, err := p.Store.Factor(t.Context(), p.anna.Key)
	if err != nil {
		t.Fatal(err)
	}
	return f.Sealed
}

// state is what support must not change.
type state struct {
	accounts [2]login.Account
	factors  [2]mfa.Factor
	phones   [2]string
	codes    [2]int
}

func (p *program[S]) state(t *testing.T) (s state) {
	t.Helper()
	for i, key := range []string{p.anna.Key, p.ben.Key} {
		var errs [4]error
		s.accounts[i], errs[0] = p.Store.Account(t.Context(), key)
		s.factors[i], errs[1] = p.Store.Factor(t.Context(), key)
		s.phones[i], errs[2] = p.Store.Phone(t.Context(), key)
		s.codes[i], errs[3] = p.Store.CountCodes(t.Context(), key)
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Random calls of every method, with arguments that are right, wrong and somebody
// else's, change no password, factor, login id, address or phone.
func nothingChanges[S Store[S]](t *testing.T, p *program[S]) {
	ctx := t.Context()
	for _, key := range []string{p.anna.Key, p.ben.Key} {
		f := mfa.Factor{Account: key, Sealed: "sealed", Step: 1}
		if err := errors.Join(p.Store.PutFactor(ctx, f), p.Store.PutCodes(ctx, key, [][32]byte{{1}, {2}})); err != nil {
			t.Fatal(err)
		}
	}
	want := p.state(t)
	seed := rand.Uint64()
	dice := rand.New(rand.NewPCG(seed, 0))
	strangers := []string{"", "staff", "colleague", p.anna.Key, p.ben.Key, "anna", "anna@example.org", "+49170", "0000 0000", "' OR 1=1 --"}
	var cases, seen []string
	text := func() string {
		all := append(append(slices.Clone(strangers), cases...), seen...)
		return all[dice.IntN(len(all))]
	}
	service := reflect.ValueOf(p.Service)
	calls, successes := map[string]int{}, map[string]int{}
	const steps = 300
	for range steps {
		m := dice.IntN(service.NumMethod())
		name, method := service.Type().Method(m).Name, service.Method(m)
		args := []reflect.Value{reflect.ValueOf(ctx)}
		for i := 1; i < method.Type().NumIn(); i++ {
			in := method.Type().In(i)
			switch {
			case i == 1 && dice.IntN(3) > 0:
				args = append(args, reflect.ValueOf("staff"))
			case i == 2 && name == "Open" && dice.IntN(3) > 0:
				args = append(args, reflect.ValueOf(p.anna.Key))
			case i == 2 && name != "Open" && len(cases) > 0 && dice.IntN(4) > 0:
				args = append(args, reflect.ValueOf(cases[len(cases)-1]))
			case in.Kind() == reflect.Slice: // of actions, variadic
				args = append(args, reflect.ValueOf(p.Actions[dice.IntN(2)]))
			case in == reflect.TypeFor[support.Action]():
				args = append(args, reflect.ValueOf(append(p.Actions, "x")[dice.IntN(3)]))
			case in == reflect.TypeFor[support.Channel]():
				args = append(args, reflect.ValueOf([]support.Channel{support.Mail, support.SMS}[dice.IntN(2)]))
			case name == "Confirm" && i == 3 && len(seen) > 0:
				args = append(args, reflect.ValueOf(seen[len(seen)-1]))
			case in.Kind() == reflect.String:
				args = append(args, reflect.ValueOf(text()).Convert(in))
			default:
				t.Fatalf("%s takes a %v: the test does not know what to give it", name, in)
			}
		}
		out := method.Call(args)
		calls[name]++
		if out[len(out)-1].IsNil() {
			successes[name]++
			if name == "Open" {
				cases = append(cases, out[0].String())
			}
		}
		p.phones.mu.Lock()
		if n := len(p.phones.got); n > 0 {
			seen = append(seen, codeShape.FindString(p.phones.got[n-1]))
		}
		p.phones.mu.Unlock()
	}
	t.Logf("seed %d: calls %v, of which succeeded %v", seed, calls, successes)
	if got := p.state(t); got != want {
		t.Errorf("seed %d: something has changed:\n%+v\n%+v", seed, want, got)
	}
	if len(calls) != service.NumMethod() || successes["Open"] == 0 || successes["SendCode"] == 0 {
		t.Errorf("seed %d: the calls do not reach everything: %v, %v", seed, calls, successes)
	}
}
