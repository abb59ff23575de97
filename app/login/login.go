package login

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// ErrDenied is the one refusal. Why is told to [Service.OnAttempt] alone.
var ErrDenied = errors.New("login id or password is wrong")

// DefaultLinkLife is how long a mailed link is good: longer than the pause between
// two mails when somebody hammers on an account, so that the owner always has one.
const DefaultLinkLife = 48 * time.Hour

// A Service lets people in. Accounts, Hasher and Throttle are needed; Hasher.Gate
// should be the gate of the whole program. The fields must not change after the
// first use; it may be used by many goroutines at a time.
type Service struct {
	Accounts Accounts
	Hasher   *password.Hasher
	Throttle *throttle.Limiter

	// Links keeps the links that are mailed to owners of hammered accounts, and
	// LinkMail writes the mail with the token in it. Without them owners without a
	// device cookie wait until the attempts are over.
	Links    Links
	LinkMail func(a Account, token string) outbox.Mail
	// LinkLife is how long such a link is good; 0 means [DefaultLinkLife].
	LinkLife time.Duration

	// Deadline is when a refusal is answered, from the beginning of the attempt;
	// 0 means that it is measured.
	Deadline time.Duration
	// OnAttempt, if not nil, hears how each attempt ended. It must not block: it
	// is called before the answer.
	OnAttempt func(Event)

	deadline deadline
	stats    counters
	coming   atomic.Int64 // attempts on their way to the gate
}

// An Attempt is what somebody sent.
type Attempt struct {
	ID       string     // as it was typed
	Password string     // as it was typed
	Addr     netip.Addr // the client's, behind trusted proxies the real one
	Device   string     // value of the cookie [throttle.DeviceCookie], or empty
}

// A Success is a login.
type Success struct {
	// Account is what was stored when the password matched, with the upgraded hash.
	Account Account
	// Device is the new value of the device cookie (see [throttle.Limiter.Cookie]).
	Device string
	// Upgraded says that the stored hash was replaced by a better one.
	Upgraded bool
}

// Login counts the attempt, verifies the password and lets in or refuses. The
// error is [ErrDenied], a [throttle.TooManyError], wraps gate.ErrBusy, or says that
// something of ours has failed; in all cases nobody is in.
func (s *Service) Login(ctx context.Context, a Attempt) (*Success, error) {
	start := time.Now()
	if !s.enter() {
		s.tell(Event{Reason: Busy, Addr: a.Addr})
		return nil, gate.ErrBusy
	}
	leave := sync.OnceFunc(func() { s.coming.Add(-1) })
	defer leave()
	limit, err := s.limit(ctx)
	if err != nil {
		return nil, err
	}
	id, idErr := ParseID(a.ID)
	name := string(id)
	if idErr != nil {
		name = a.ID
	}
	ticket, err := s.Throttle.Reserve(ctx, throttle.Attempt{Name: name, Addr: a.Addr, Device: a.Device})
	if err != nil {
		var many *throttle.TooManyError
		if errors.As(err, &many) {
			s.tell(Event{Reason: TooMany, Addr: a.Addr})
		}
		return nil, err
	}
	v := &verdict{name: name, event: Event{Addr: a.Addr, Trusted: ticket.Trusted()}}
	v.gate = leave
	err = s.verify(ctx, v, id, a.Password, ticket)
	if err != nil {
		// Nothing was verified, or nobody will know what came of it.
		err = errors.Join(err, ticket.Refund(context.WithoutCancel(ctx)))
		if errors.Is(err, gate.ErrBusy) {
			v.event.Reason = Busy
			s.tell(v.event)
		}
		return nil, err
	}
	if v.event.Reason == In {
		v.event.Err = ticket.Refund(ctx) // an attempt that stays counted keeps nobody out
		s.tell(v.event)
		return &Success{Account: v.account, Device: s.Throttle.Trusted(a.Device, name), Upgraded: v.event.Upgraded}, nil
	}
	if v.event.Reason == Locked {
		v.event.Err = errors.Join(v.event.Err, s.mailLink(ctx, v))
	}
	s.tell(v.event)
	if err := s.deadline.wait(ctx, start, v.waited, limit); err != nil {
		return nil, err
	}
	return nil, ErrDenied
}

// enter counts an attempt that is on its way to the gate, unless there will be no
// room for it: then the store is not asked in vain.
func (s *Service) enter() bool {
	n := s.coming.Add(1)
	g, ok := s.Hasher.Gate.(interface{ Room() int })
	if ok && n > int64(g.Room()) {
		s.coming.Add(-1)
		return false
	}
	return true
}

// verdict is what is found out about one attempt.
type verdict struct {
	name    string
	account Account // zero if there is none
	waited  time.Duration
	event   Event
	gate    func() // to be called at the gate
}

// maxRounds bounds how often a login starts over because the stored hash changes
// under it.
const maxRounds = 4

// verify finds the account and verifies the password, and sets the verdict's
// reason. It does equal work for all refusals.
func (s *Service) verify(ctx context.Context, v *verdict, id ID, pw string, ticket *throttle.Ticket) error {
	if len(pw) > password.MaxLength {
		pw = pw[:password.MaxLength] // matches nothing, see below
		id = ""
	}
	for range maxRounds {
		a, err := s.Accounts.FindAccount(ctx, id)
		if err != nil && !errors.Is(err, ErrNoAccount) {
			return fmt.Errorf("finding an account: %w", err)
		}
		known := err == nil && id != ""
		v.account, v.event.Account = Account{}, ""
		if known {
			v.account, v.event.Account = a, a.Key
		}
		v.event.Reason = reason(known, a, ticket)
		stored := ""
		if v.event.Reason == Wrong {
			stored = a.Password
		}
		v.gate()
		even, err := s.Hasher.VerifyEvenly(ctx, stored, pw)
		if err != nil {
			return fmt.Errorf("verifying a password: %w", err)
		}
		v.waited += even.Waited
		if even.Unusable != nil {
			v.event.Reason, v.event.Err = Unusable, even.Unusable
		}
		if !even.Match || v.event.Reason != Wrong {
			return nil
		}
		done, err := s.upgrade(ctx, v, even, pw)
		if err != nil || done {
			return err
		}
	}
	return errors.New("the stored hash does not hold still")
}

// reason is why the password does not count, or Wrong if it does.
func reason(known bool, a Account, ticket *throttle.Ticket) Reason {
	switch {
	case ticket.Locked():
		return Locked
	case !known:
		return Unknown
	case a.Disabled:
		return Disabled
	case a.Password == "":
		return NoPassword
	}
	return Wrong
}

// upgrade finishes a match. It returns false if the stored hash is not the one
// that matched any more.
func (s *Service) upgrade(ctx context.Context, v *verdict, even password.Even, pw string) (bool, error) {
	if !even.Upgrade {
		v.event.Reason = In
		return true, nil
	}
	better, err := s.Hasher.Hash(ctx, pw)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		// Too busy, or a text that a legacy scheme took and ours does not: the
		// next login tries again, this one is in.
		v.event.Reason, v.event.Err = In, fmt.Errorf("not upgraded: %w", err)
		return true, nil
	}
	swapped, err := s.Accounts.UpgradePassword(ctx, v.account.Key, v.account.Password, better)
	if err != nil {
		return false, fmt.Errorf("upgrading a hash: %w", err)
	}
	if swapped {
		v.account.Password = better
		v.event.Reason, v.event.Upgraded = In, true
	}
	return swapped, nil
}
