package login_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// A lasting scheme takes exactly its time, on the clock of a bubble. Its hashes
// are the password in clear.
type lasting struct {
	id   string
	took time.Duration
}

func (l lasting) ID() string { return l.id }

func (l lasting) Cost(encoded string) (password.Cost, error) {
	if encoded != "" && !strings.HasPrefix(encoded, l.id+":") {
		return password.Cost{}, password.ErrUnknownScheme
	}
	return password.Cost{Memory: 1 << 20, Lanes: 1, Work: int64(l.took)}, nil
}

func (l lasting) Verify(encoded, pw string) (bool, error) {
	time.Sleep(l.took)
	return encoded == l.id+":"+pw, nil
}

func (l lasting) Hash(pw string) (string, error) {
	time.Sleep(l.took)
	return l.id + ":" + pw, nil
}

// lastingService has accounts in three schemes, one off, one without a password.
func lastingService(t *testing.T, g *gate.Gate) (*login.Service, *memory.Store) {
	t.Helper()
	ring, err := keyring.New([]byte("a secret of thirty-two bytes or more"))
	if err != nil {
		t.Fatal(err)
	}
	s := memory.New()
	for _, id := range []string{"preferred", "slow", "fast", "off", "none", "locked"} {
		stored := map[string]string{"slow": "slow:right", "fast": "fast:right", "none": ""}[id]
		if stored == "" && id != "none" {
			stored = "preferred:right"
		}
		a := login.NewAccount(login.ID(id), "owner@example.org", stored)
		a.Disabled = id == "off"
		if err := s.AddAccount(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	return &login.Service{
		Accounts: s, Links: s,
		LinkMail: func(login.Account, string) outbox.Mail { return outbox.Mail{} },
		Throttle: &throttle.Limiter{Store: s, Keys: ring},
		Hasher: &password.Hasher{
			Preferred: lasting{"preferred", 24 * time.Millisecond},
			Legacy:    []password.Verifier{lasting{"slow", 280 * time.Millisecond}, lasting{"fast", 0}},
			Gate:      g,
		},
	}, s
}

func attempt(n int, id, pw string) login.Attempt {
	return login.Attempt{ID: id, Password: pw, Addr: netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})}
}

var refused = []string{"nobody", "preferred", "slow", "fast", "off", "none", "locked", "not a name"}

// Every refusal comes at the one deadline, to the nanosecond.
func TestOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := lastingService(t, &gate.Gate{Slots: 1})
		if err := s.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		// 1.5 times the slow hash and the dummy after it, and 10 ms.
		const want = 466 * time.Millisecond
		for n := range 12 {
			s.Login(t.Context(), attempt(n, "locked", "wrong"))
		}
		for n, id := range refused {
			start := time.Now()
			_, err := s.Login(t.Context(), attempt(n, id, "wrong"))
			if took := time.Since(start); err != login.ErrDenied || took != want {
				t.Errorf("%s: %v after %v, want %v", id, err, took, want)
			}
		}
		if got := s.Stats(); got.Late != 0 || got.Locked != 3 || got.Mailed != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// The wait in the gate is added, the wait for the deadline holds no place in it.
func TestWaitingInTheGateIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate.Gate{Slots: 1}
		s, _ := lastingService(t, g)
		if err := s.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := make([]time.Duration, 5)
		done := make(chan struct{})
		start := time.Now()
		for n := range took {
			go func() {
				s.Login(t.Context(), attempt(n, "nobody", "wrong"))
				took[n] = time.Since(start)
				done <- struct{}{}
			}()
			synctest.Wait()
		}
		time.Sleep(5*24*time.Millisecond + time.Millisecond)
		if got := g.Stats(); got.Running != 0 || got.Waiting != 0 {
			t.Errorf("five hashes take five times as long as one, then the gate is free: %+v", got)
		}
		for range took {
			<-done
		}
		for n, d := range took {
			if want := 466*time.Millisecond + time.Duration(n)*24*time.Millisecond; d != want {
				t.Errorf("login %d took %v, want %v", n, d, want)
			}
		}
	})
}

// An answer that misses the deadline comes at its next multiple, and then the
// deadline holds again, for everybody.
func TestMissedDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := lastingService(t, &gate.Gate{})
		add := func(id, stored string) {
			if err := store.AddAccount(t.Context(), login.NewAccount(login.ID(id), "", stored)); err != nil {
				t.Fatal(err)
			}
		}
		// Imported after the measurement, without another one.
		if err := s.Measure(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Hasher.Legacy = append(s.Hasher.Legacy, lasting{"glacial", 600 * time.Millisecond})
		add("glacial", "glacial:right")
		took := func(n int, id string) time.Duration {
			start := time.Now()
			if _, err := s.Login(t.Context(), attempt(n, id, "wrong")); err != login.ErrDenied {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		if got := took(1, "glacial"); got != 2*466*time.Millisecond {
			t.Errorf("the first one took %v, want twice the deadline", got)
		}
		glacial, nobody := took(2, "glacial"), took(3, "nobody")
		if diff := (glacial - nobody).Abs(); glacial < 624*time.Millisecond || diff > 2*time.Millisecond || s.Stats().Late != 1 {
			t.Errorf("then %v and %v, late %d", glacial, nobody, s.Stats().Late)
		}
		time.Sleep(24 * time.Hour)
		if got := took(4, "nobody"); got > 470*time.Millisecond {
			t.Errorf("a day later %v", got)
		}
	})
}

func TestBusyIsAtOnceAndTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate.Gate{Slots: 1, Queue: -1}
		s, store := lastingService(t, g)
		s.Deadline = time.Second
		go g.Do(t.Context(), gate.Weight{}, func() error { time.Sleep(time.Minute); return nil })
		synctest.Wait()
		start := time.Now()
		for n, id := range refused {
			for _, pw := range []string{"wrong", "right"} {
				if _, err := s.Login(t.Context(), attempt(n, id, pw)); !errors.Is(err, gate.ErrBusy) || time.Since(start) != 0 {
					t.Errorf("%s: %v after %v", id, err, time.Since(start))
				}
			}
		}
		if n, err := store.Prune(t.Context(), time.Now().Add(1000*time.Hour)); err != nil || n != 0 {
			t.Errorf("busy answers were counted: %d, %v", n, err)
		}
		time.Sleep(time.Hour)
	})
}

// Three days of hammering: the owner's browser always gets in, and an owner with
// an unknown one always holds a mailed link that is good.
func TestOwnerIsNeverLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := lastingService(t, &gate.Gate{})
		s.LinkMail = func(_ login.Account, token string) outbox.Mail {
			return outbox.Mail{Subject: "Your login", Text: token}
		}
		in, err := s.Login(t.Context(), attempt(0, "preferred", "right"))
		if err != nil {
			t.Fatal(err)
		}
		device, mails := in.Device, []string{}
		for hour := range 72 {
			for n := range 60 {
				s.Login(t.Context(), attempt(n+1, "preferred", fmt.Sprint("guess ", hour, n)))
				time.Sleep(time.Minute)
			}
			for {
				m, ok, err := store.LeaseMail(t.Context(), time.Now(), time.Now().Add(9999*time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				mails = append(mails, m.Text)
			}
			a := attempt(0, "preferred", "right")
			a.Device = device
			if _, err := s.Login(t.Context(), a); err != nil {
				t.Fatalf("hour %d: the owner's browser: %v", hour, err)
			}
			// The owner tries the newest link every ten hours.
			if hour%10 == 9 {
				if len(mails) == 0 {
					t.Fatalf("hour %d: no mail with a good link", hour)
				}
				a.Device, err = s.OpenLink(t.Context(), mails[len(mails)-1], "")
				if err != nil {
					t.Fatalf("hour %d: the mailed link: %v", hour, err)
				}
				if _, err := s.Login(t.Context(), a); err != nil {
					t.Fatalf("hour %d: the owner with the link: %v", hour, err)
				}
				mails = mails[:len(mails)-1]
			}
		}
		if got := s.Stats(); got.Mailed > 3+3+7 { // at once, one a day, and one for each link used
			t.Errorf("%d mails in three days", got.Mailed)
		}
		// Hammered on for three days, the account gave away this many guesses.
		if got := s.Stats(); got.Denied-got.Locked > 110 {
			t.Errorf("%d guesses were verified", got.Denied-got.Locked)
		}
	})
}
