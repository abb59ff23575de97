package mfa

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// ErrDenied is the one refusal. Why is told to [Service.OnEvent] alone.
var ErrDenied = errors.New("code is wrong")

// Defaults of the zero [Service].
const (
	DefaultLife  = 10 * time.Minute // ASVS 6.5.5
	DefaultTries = 5
	// CodeCount is how many recovery codes an account gets.
	CodeCount = 10
)

// A Method is how somebody has shown the second factor.
type Method string

// The methods.
const (
	TOTP     Method = "totp"
	Recovery Method = "recovery code"
)

// An Event tells how one answer ended.
type Event struct {
	Account string // key; empty if there is no challenge
	Addr    netip.Addr
	By      Method // empty if nobody has passed
	// Locked says that the account's tries were used up.
	Locked bool
	// Left is the number of recovery codes after one was spent.
	Left int
	// Err is what went wrong beside: why a secret was not encrypted anew, or
	// cannot be decrypted.
	Err error
}

// Stats is what a service has done since the program started.
type Stats struct{ Passed, Denied, Locked, Recovered, Resealed uint64 }

// A Service enrols and asks for second factors. Store, Keys and Throttle are
// needed. The fields must not change after the first use; it may be used by many
// goroutines at a time.
type Service[S Store[S]] struct {
	Store    S
	Keys     *keyring.Ring
	Throttle *throttle.Limiter
	// Issuer is what the app shows as the name of the program.
	Issuer string
	// Life is how long a challenge is good; 0 means [DefaultLife].
	Life time.Duration
	// Tries is how many answers a challenge allows; 0 means [DefaultTries].
	Tries int
	// OnEvent, if not nil, hears how each answer ended. It must not block.
	OnEvent func(Event)

	passed, denied, locked, recovered, resealed atomic.Uint64
}

// Stats returns the counts at this moment. Locked answers are denied ones too.
func (s *Service[S]) Stats() Stats {
	return Stats{
		Passed: s.passed.Load(), Denied: s.denied.Load(), Locked: s.locked.Load(),
		Recovered: s.recovered.Load(), Resealed: s.resealed.Load(),
	}
}

// Enabled reports whether an account has a second factor.
func (s *Service[S]) Enabled(ctx context.Context, account string) (bool, error) {
	_, err := s.Store.Factor(ctx, account)
	if errors.Is(err, ErrNoFactor) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("finding a second factor: %w", err)
	}
	return true, nil
}

// Confirm ends an enrolment: if the code is that of the new secret, the secret
// becomes the account's second factor in place of any earlier one, and fresh
// recovery codes are returned, to be shown once. The caller has made sure that the
// account's owner asks, by a fresh login or the earlier factor. The error is
// [ErrDenied] if the code is wrong or the enrolment has expired.
func (s *Service[S]) Confirm(ctx context.Context, account, sealed, code string) ([]string, error) {
	now := time.Now()
	secret, err := s.openEnrolment(account, sealed, now)
	if err != nil {
		return nil, err
	}
	step, ok := match(secret, clean(code), now, 0)
	if !ok {
		return nil, ErrDenied
	}
	codes, hashes := newCodes(account)
	err = s.Store.Tx(ctx, func(tx S) error {
		f := Factor{Account: account, Sealed: seal(s.Keys, factorPurpose, account, secret), Step: step}
		if err := tx.PutFactor(ctx, f); err != nil {
			return err
		}
		return tx.PutCodes(ctx, account, hashes)
	})
	if err != nil {
		return nil, fmt.Errorf("storing a second factor: %w", err)
	}
	return codes, nil
}

// NewCodes replaces the recovery codes of an account. The error wraps [ErrNoFactor]
// if it has no second factor.
func (s *Service[S]) NewCodes(ctx context.Context, account string) ([]string, error) {
	if _, err := s.Store.Factor(ctx, account); err != nil {
		return nil, fmt.Errorf("new recovery codes: %w", err)
	}
	codes, hashes := newCodes(account)
	if err := s.Store.PutCodes(ctx, account, hashes); err != nil {
		return nil, fmt.Errorf("new recovery codes: %w", err)
	}
	return codes, nil
}

// Challenge notes that an account's password was right, at this epoch, and returns
// the token with which the second factor is asked for; it belongs into a cookie.
func (s *Service[S]) Challenge(ctx context.Context, account string, epoch int64) (token string, err error) {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	token = base64.RawURLEncoding.EncodeToString(secret)
	c := Challenge{Hash: sha256.Sum256([]byte(token)), Account: account, Epoch: epoch, Tries: s.Tries, Expires: time.Now().Add(s.Life)}
	if s.Tries <= 0 {
		c.Tries = DefaultTries
	}
	if s.Life <= 0 {
		c.Expires = time.Now().Add(DefaultLife)
	}
	if err := s.Store.PutChallenge(ctx, c); err != nil {
		return "", fmt.Errorf("storing a challenge: %w", err)
	}
	return token, nil
}

// An Answer is what somebody sent.
type Answer struct {
	Token string // from [Service.Challenge]
	Code  string // of the app or a recovery code, as it was typed
	Addr  netip.Addr
}

// Passed is a second factor that was shown.
type Passed struct {
	Account string
	// Epoch is the account's when its password was right: a session begins with
	// it, so that a change of the password in between ends it.
	Epoch int64
	By    Method
	// Left is the number of recovery codes after one was spent.
	Left int
}

// Answer answers a challenge, which is over after a right code. The error is
// [ErrDenied], a [throttle.TooManyError], or says that something of ours has
// failed; in all cases nobody has passed.
func (s *Service[S]) Answer(ctx context.Context, a Answer) (Passed, error) {
	hash := sha256.Sum256([]byte(a.Token))
	c, err := s.Store.TryChallenge(ctx, hash, time.Now())
	if errors.Is(err, ErrNoChallenge) {
		return Passed{}, s.deny(Event{Addr: a.Addr})
	}
	if err != nil {
		return Passed{}, fmt.Errorf("trying a challenge: %w", err)
	}
	p, err := s.Verify(ctx, c.Account, a.Code, a.Addr)
	if err != nil {
		return Passed{}, err
	}
	dropped, err := s.Store.DropChallenge(ctx, hash)
	if err != nil {
		return Passed{}, fmt.Errorf("ending a challenge: %w", err)
	}
	if !dropped {
		return Passed{}, s.deny(Event{Account: c.Account, Addr: a.Addr})
	}
	p.Epoch = c.Epoch
	return p, nil
}

// Verify checks a code of somebody who is logged in, before something that wants
// the second factor again. Its errors are those of [Service.Answer].
func (s *Service[S]) Verify(ctx context.Context, account, code string, addr netip.Addr) (Passed, error) {
	e := Event{Account: account, Addr: addr}
	f, err := s.Store.Factor(ctx, account)
	if errors.Is(err, ErrNoFactor) {
		return Passed{}, s.deny(e)
	}
	if err != nil {
		return Passed{}, fmt.Errorf("finding a second factor: %w", err)
	}
	typed := clean(code)
	if len(typed) == codeLength {
		return s.verifyRecovery(ctx, e, typed)
	}
	return s.verifyTOTP(ctx, e, f, typed)
}

func (s *Service[S]) verifyTOTP(ctx context.Context, e Event, f Factor, code string) (Passed, error) {
	ticket, err := s.Throttle.Reserve(ctx, throttle.Attempt{Name: "second factor of " + e.Account, Addr: e.Addr})
	if err != nil {
		return Passed{}, err
	}
	if e.Locked = ticket.Locked(); e.Locked {
		return Passed{}, s.deny(e)
	}
	for range maxRounds {
		secret, current, err := unseal(s.Keys, factorPurpose, f.Account, f.Sealed)
		if err != nil {
			return Passed{}, fmt.Errorf("secret of an authenticator app: %w", errors.Join(err, ticket.Refund(ctx)))
		}
		step, ok := match(secret, code, time.Now(), f.Step)
		if !ok {
			return Passed{}, s.deny(e)
		}
		used, err := s.Store.UseStep(ctx, f.Account, f.Sealed, step)
		if err != nil {
			return Passed{}, fmt.Errorf("using a code: %w", err)
		}
		if used {
			if !current {
				e.Err = s.reseal(ctx, f, secret)
			}
			e.By = TOTP
			e.Err = errors.Join(e.Err, ticket.Refund(ctx))
			return s.pass(e), nil
		}
		// Another process has used the code, or encrypted the secret anew.
		f, err = s.Store.Factor(ctx, f.Account)
		if errors.Is(err, ErrNoFactor) {
			return Passed{}, s.deny(e)
		}
		if err != nil {
			return Passed{}, fmt.Errorf("finding a second factor: %w", err)
		}
	}
	return Passed{}, errors.New("the second factor does not hold still")
}

// maxRounds bounds how often a code is looked at again because the factor changes.
const maxRounds = 6

func (s *Service[S]) verifyRecovery(ctx context.Context, e Event, code string) (Passed, error) {
	spent, err := s.Store.SpendCode(ctx, e.Account, hashCode(e.Account, code))
	if err != nil {
		return Passed{}, fmt.Errorf("spending a recovery code: %w", err)
	}
	if !spent {
		return Passed{}, s.deny(e)
	}
	e.By = Recovery
	// The code is spent: somebody who cannot count what is left has passed.
	e.Left, e.Err = s.Store.CountCodes(ctx, e.Account)
	return s.pass(e), nil
}

func (s *Service[S]) reseal(ctx context.Context, f Factor, secret []byte) error {
	swapped, err := s.Store.ResealFactor(ctx, f.Account, f.Sealed, seal(s.Keys, factorPurpose, f.Account, secret))
	if err != nil {
		return fmt.Errorf("encrypting a secret anew: %w", err)
	}
	if swapped {
		s.resealed.Add(1)
	}
	return nil
}

// Reseal encrypts all secrets anew that are not under the current key of the ring,
// and returns how many. After it has returned without an error in a program that
// has rotated everywhere, earlier keys are not needed for secrets any more.
func (s *Service[S]) Reseal(ctx context.Context) (int, error) {
	var old []Factor
	current := s.Keys.Current(factorPurpose).ID + "."
	err := s.Store.EachFactor(ctx, func(f Factor) error {
		if !strings.HasPrefix(f.Sealed, current) {
			old = append(old, f)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("reading second factors: %w", err)
	}
	var failed []error
	done := 0
	for _, f := range old {
		secret, _, err := unseal(s.Keys, factorPurpose, f.Account, f.Sealed)
		if err == nil {
			err = s.reseal(ctx, f, secret)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("account %s: %w", f.Account, err))
			continue
		}
		done++
	}
	return done, errors.Join(failed...)
}

// Remove takes the second factor and its recovery codes from an account. The caller
// has made sure that the account's owner asks.
func (s *Service[S]) Remove(ctx context.Context, account string) error {
	err := s.Store.Tx(ctx, func(tx S) error { return tx.DropFactor(ctx, account) })
	if err != nil {
		return fmt.Errorf("removing a second factor: %w", err)
	}
	return nil
}

// Prune drops challenges that have expired. A program calls it at times.
func (s *Service[S]) Prune(ctx context.Context) error {
	if _, err := s.Store.PruneChallenges(ctx, time.Now()); err != nil {
		return fmt.Errorf("pruning challenges: %w", err)
	}
	return nil
}

func (s *Service[S]) pass(e Event) Passed {
	s.passed.Add(1)
	if e.By == Recovery {
		s.recovered.Add(1)
	}
	if s.OnEvent != nil {
		s.OnEvent(e)
	}
	return Passed{Account: e.Account, By: e.By, Left: e.Left}
}

func (s *Service[S]) deny(e Event) error {
	s.denied.Add(1)
	if e.Locked {
		s.locked.Add(1)
	}
	if s.OnEvent != nil {
		s.OnEvent(e)
	}
	return ErrDenied
}

// codeLength is that of a recovery code without hyphens: 120 bits in base32.
const codeLength = 24

// newCodes returns fresh recovery codes for reading, and their hashes.
func newCodes(account string) (codes []string, hashes [][32]byte) {
	for range CodeCount {
		text := rand.Text()[:codeLength]
		hashes = append(hashes, hashCode(account, text))
		var parts []string
		for len(text) > 0 {
			parts, text = append(parts, text[:4]), text[4:]
		}
		codes = append(codes, strings.ToLower(strings.Join(parts, "-")))
	}
	return codes, hashes
}

func hashCode(account, code string) [32]byte {
	return sha256.Sum256([]byte("holdfast recovery code\x00" + account + "\x00" + code))
}

// clean takes away what people put between the letters of a code.
func clean(code string) string {
	if len(code) > 100 {
		return ""
	}
	return strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(code))
}
