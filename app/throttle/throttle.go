package throttle

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
)

// A Rate allows Burst attempts at once and then one in each Every.
type Rate struct {
	Burst int           // at least 1
	Every time.Duration // at least 1 ms
}

// A Bucket names a counter. The same name always means the same counter. It is
// never negative as an int64.
type Bucket uint64

// A Store keeps counters. Each counter is one moment: that at which the bucket
// will be full again. Implementations are in app/store; all calls may come from
// many goroutines and many processes at a time.
type Store interface {
	// Take counts one attempt at the time now: it moves the moment, or now if
	// that is later, by r.Every, unless that puts it more than r.Burst times
	// r.Every after now. It returns 0 if the attempt was counted and otherwise
	// how long it is until one would be. It is atomic.
	Take(ctx context.Context, b Bucket, r Rate, now time.Time) (wait time.Duration, err error)
	// Refund moves the moment back by r.Every, if the bucket exists.
	Refund(ctx context.Context, b Bucket, r Rate) error
	// Prune drops the buckets that are full at the time now and returns how many
	// they were. A dropped bucket and a full one are the same.
	Prune(ctx context.Context, now time.Time) (int, error)
}

// Defaults of the zero [Limiter].
const (
	DefaultAccountBuckets = 1 << 17
	DefaultNetworkBuckets = 1 << 16
	DefaultTrust          = 400 * 24 * time.Hour // the longest that browsers keep a cookie
)

// defaultRates of each counter, all of which must allow an attempt.
var defaultRates = [kinds][]Rate{
	network: {{Burst: 50, Every: 30 * time.Second}},
	// After 100 failures in a row, one a day: SP 800-63B-4, 3.2.2.
	account: {{Burst: 10, Every: 6 * time.Minute}, {Burst: 100, Every: 24 * time.Hour}},
	device:  {{Burst: 10, Every: 6 * time.Minute}},
	mail:    {{Burst: 1, Every: time.Hour}, {Burst: 3, Every: 24 * time.Hour}},
}

// The counters. Their numbers are part of what is stored.
const (
	network = iota
	account
	device
	mail
	kinds
)

// A Limiter counts attempts. Store and Keys are needed, everything else has a
// default. Its fields must not change after the first use; it may be used by many
// goroutines at a time.
type Limiter struct {
	Store Store
	// Keys chooses buckets and signs device cookies.
	Keys *keyring.Ring

	// Network, Account, Device and Mail are the rates of the counters; an attempt
	// has to pass all rates of a counter. Empty means the default: 50 at once and
	// one in 30 s for a network; 10 at once and one in 6 min, and at most 100 at
	// once and one a day, for an account; 10 and one in 6 min for a device; one
	// an hour and at most 3 at once and one a day for mails about an account.
	Network, Account, Device, Mail []Rate
	// AccountBuckets and NetworkBuckets are the numbers of buckets for each rate;
	// 0 means the default. Devices and mails have as many as networks.
	AccountBuckets, NetworkBuckets int
	// Trust is how long a device cookie is valid; 0 means [DefaultTrust].
	Trust time.Duration
	// OnRefused, if not nil, hears of each refused attempt: counter is "network",
	// "account" or "device". It must not block.
	OnRefused func(counter string, a Attempt)

	counted, refusedNetwork, refusedAccount, refusedDevice, trusted atomic.Uint64
}

// Stats is what a limiter has done since the program started.
type Stats struct {
	Counted        uint64 // attempts that may be verified
	RefusedNetwork uint64 // answered with TooManyError
	RefusedAccount uint64 // locked tickets
	RefusedDevice  uint64 // attempts whose device cookie was used up
	Trusted        uint64 // attempts counted on a device
}

// An Attempt is one try to log in.
type Attempt struct {
	// Name is the login id, in its canonical form if it has one, and as it was
	// sent if not.
	Name string
	// Addr is the client's address. All attempts without a valid one share one
	// network.
	Addr netip.Addr
	// Device is the value of the device cookie, or empty.
	Device string
}

// TooManyError says that a network has used up its attempts. A server answers 429
// with Retry-After.
type TooManyError struct {
	// RetryAfter is when the next attempt would be counted, in whole seconds, at
	// least one.
	RetryAfter time.Duration
}

// Error says how long it takes.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many attempts from this network, next in %v", e.RetryAfter)
}

// A Ticket is one counted attempt.
type Ticket struct {
	l      *Limiter
	paid   []charge
	locked bool
	device bool
}

type charge struct {
	bucket Bucket
	rate   Rate
}

// Locked reports whether the account's attempts are used up: whatever the
// password is, it must not be verified.
func (t *Ticket) Locked() bool { return t.locked }

// Trusted reports whether the attempt came with a valid device cookie.
func (t *Ticket) Trusted() bool { return t.device }

// Reserve counts an attempt, before anything is verified. The error is a
// [TooManyError] if the network has used up its attempts; any other error means
// that it could not be counted and must not be verified.
func (l *Limiter) Reserve(ctx context.Context, a Attempt) (*Ticket, error) {
	now := time.Now()
	t := &Ticket{l: l}
	wait, err := t.take(ctx, network, netKey(a.Addr), now)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		l.refused(&l.refusedNetwork, "network", a)
		return nil, &TooManyError{RetryAfter: (wait + time.Second - 1).Truncate(time.Second)}
	}
	if nonce, ok := l.checkDevice(a.Device, a.Name, now); ok {
		wait, err = t.take(ctx, device, nonce, now)
		if err != nil {
			return nil, err
		}
		if wait == 0 {
			t.device = true
			l.trusted.Add(1)
			l.counted.Add(1)
			return t, nil
		}
		l.refused(&l.refusedDevice, "device", a)
	}
	wait, err = t.take(ctx, account, []byte(a.Name), now)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		t.locked = true
		l.refused(&l.refusedAccount, "account", a)
		return t, nil
	}
	l.counted.Add(1)
	return t, nil
}

// take charges all rates of one counter, or none.
func (t *Ticket) take(ctx context.Context, kind int, name []byte, now time.Time) (time.Duration, error) {
	before := len(t.paid)
	for i, r := range t.l.rates(kind) {
		c := charge{t.l.bucket(kind, i, name), r}
		wait, err := t.l.Store.Take(ctx, c.bucket, c.rate, now)
		if err != nil {
			return 0, fmt.Errorf("counting an attempt: %w", err)
		}
		if wait > 0 {
			back := Ticket{l: t.l, paid: t.paid[before:]}
			t.paid = t.paid[:before]
			return wait, back.Refund(ctx)
		}
		t.paid = append(t.paid, c)
	}
	return 0, nil
}

// Refund takes the attempt back: after a successful login, or when it was not
// verified after all, because the program was too busy. It must not be called
// for a wrong password. A second call does nothing.
func (t *Ticket) Refund(ctx context.Context) error {
	for ; len(t.paid) > 0; t.paid = t.paid[1:] {
		if err := t.l.Store.Refund(ctx, t.paid[0].bucket, t.paid[0].rate); err != nil {
			return fmt.Errorf("taking an attempt back: %w", err)
		}
	}
	return nil
}

// ReserveMail counts a mail about an account and reports whether it may be sent.
// It is asked for names that do not exist too.
func (l *Limiter) ReserveMail(ctx context.Context, name string) (bool, error) {
	t := Ticket{l: l}
	wait, err := t.take(ctx, mail, []byte(name), time.Now())
	return err == nil && wait == 0, err
}

// RefundMail takes a mail about an account back, once its link has been used: only
// the owner can do that, and may soon need another one.
func (l *Limiter) RefundMail(ctx context.Context, name string) error {
	t := Ticket{l: l}
	for i, r := range l.rates(mail) {
		t.paid = append(t.paid, charge{l.bucket(mail, i, []byte(name)), r})
	}
	return t.Refund(ctx)
}

// Prune drops what is no longer needed from the store. A program calls it at
// times, for example once an hour.
func (l *Limiter) Prune(ctx context.Context) error {
	if _, err := l.Store.Prune(ctx, time.Now()); err != nil {
		return fmt.Errorf("pruning attempts: %w", err)
	}
	return nil
}

// MaxRows returns how many buckets the store can ever hold.
func (l *Limiter) MaxRows() int {
	n := 0
	for kind := range kinds {
		n += len(l.rates(kind)) * l.buckets(kind)
	}
	return n
}

// Stats returns the counts at this moment.
func (l *Limiter) Stats() Stats {
	return Stats{
		Counted:        l.counted.Load(),
		RefusedNetwork: l.refusedNetwork.Load(),
		RefusedAccount: l.refusedAccount.Load(),
		RefusedDevice:  l.refusedDevice.Load(),
		Trusted:        l.trusted.Load(),
	}
}

func (l *Limiter) refused(count *atomic.Uint64, counter string, a Attempt) {
	count.Add(1)
	if l.OnRefused != nil {
		l.OnRefused(counter, a)
	}
}

func (l *Limiter) rates(kind int) []Rate {
	if r := [kinds][]Rate{l.Network, l.Account, l.Device, l.Mail}[kind]; len(r) > 0 {
		return r
	}
	return defaultRates[kind]
}

func (l *Limiter) buckets(kind int) int {
	n, otherwise := l.NetworkBuckets, DefaultNetworkBuckets
	if kind == account {
		n, otherwise = l.AccountBuckets, DefaultAccountBuckets
	}
	if n <= 0 {
		n = otherwise
	}
	return n
}

// bucket numbers: kind in bits 48 to 55, rate in bits 40 to 47, the rest from a
// keyed hash.
func (l *Limiter) bucket(kind, rate int, name []byte) Bucket {
	key := l.Keys.Current("throttle buckets")
	mac := hmac.New(sha256.New, key.Bytes[:])
	mac.Write([]byte{byte(kind), byte(rate)})
	mac.Write(name)
	n := binary.BigEndian.Uint64(mac.Sum(nil)) % uint64(l.buckets(kind))
	return Bucket(uint64(kind)<<48 | uint64(rate)<<40 | n)
}

// netKey is the network that an address counts for.
func netKey(a netip.Addr) []byte {
	a = a.Unmap().WithZone("")
	bits := 32
	switch {
	case !a.IsValid():
		return nil
	case a.Is6():
		bits = 64
	}
	p, _ := a.Prefix(bits) // cannot fail for these lengths
	return []byte(p.String())
}
