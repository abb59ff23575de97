package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/app/mfa"
)

// Factor is of [mfa.Factors].
func (s *Store) Factor(_ context.Context, account string) (mfa.Factor, error) {
	defer s.lock()()
	f, ok := s.factors[account]
	if !ok {
		return mfa.Factor{}, mfa.ErrNoFactor
	}
	return f, nil
}

// PutFactor is of [mfa.Factors].
func (s *Store) PutFactor(_ context.Context, f mfa.Factor) error {
	defer s.lock()()
	s.factors[f.Account] = f
	return nil
}

// UseStep is of [mfa.Factors].
func (s *Store) UseStep(_ context.Context, account, sealed string, step int64) (bool, error) {
	defer s.lock()()
	f, ok := s.factors[account]
	if !ok || f.Sealed != sealed || step <= f.Step {
		return false, nil
	}
	f.Step = step
	s.factors[account] = f
	return true, nil
}

// ResealFactor is of [mfa.Factors].
func (s *Store) ResealFactor(_ context.Context, account, old, new string) (bool, error) {
	defer s.lock()()
	f, ok := s.factors[account]
	if !ok || f.Sealed != old {
		return false, nil
	}
	f.Sealed = new
	s.factors[account] = f
	return true, nil
}

// code is a recovery code.
type code struct {
	account string
	hash    [32]byte
}

// PutCodes is of [mfa.Codes].
func (s *Store) PutCodes(_ context.Context, account string, hashes [][32]byte) error {
	defer s.lock()()
	s.dropCodes(account)
	for _, h := range hashes {
		s.codes[code{account, h}] = true
	}
	return nil
}

func (s *Store) dropCodes(account string) {
	maps.DeleteFunc(s.codes, func(c code, _ bool) bool { return c.account == account })
}

// SpendCode is of [mfa.Codes].
func (s *Store) SpendCode(_ context.Context, account string, hash [32]byte) (bool, error) {
	defer s.lock()()
	c := code{account, hash}
	found := s.codes[c]
	delete(s.codes, c)
	return found, nil
}

// CountCodes is of [mfa.Codes].
func (s *Store) CountCodes(_ context.Context, account string) (n int, err error) {
	defer s.lock()()
	for c := range s.codes {
		if c.account == account {
			n++
		}
	}
	return n, nil
}

// DropFactor is of [mfa.Records].
func (s *Store) DropFactor(_ context.Context, account string) error {
	defer s.lock()()
	delete(s.factors, account)
	s.dropCodes(account)
	maps.DeleteFunc(s.challenges, func(_ [32]byte, c mfa.Challenge) bool { return c.Account == account })
	return nil
}

// EachFactor is of [mfa.Records].
func (s *Store) EachFactor(_ context.Context, visit func(mfa.Factor) error) error {
	unlock := s.lock()
	all := slices.Collect(maps.Values(s.factors))
	unlock()
	for _, f := range all {
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// PutChallenge is of [mfa.Challenges].
func (s *Store) PutChallenge(_ context.Context, c mfa.Challenge) error {
	defer s.lock()()
	s.challenges[c.Hash] = c
	return nil
}

// TryChallenge is of [mfa.Challenges].
func (s *Store) TryChallenge(_ context.Context, hash [32]byte, now time.Time) (mfa.Challenge, error) {
	defer s.lock()()
	c, ok := s.challenges[hash]
	if !ok || c.Tries <= 0 || !c.Expires.After(now) {
		return mfa.Challenge{}, mfa.ErrNoChallenge
	}
	c.Tries--
	s.challenges[hash] = c
	return c, nil
}

// DropChallenge is of [mfa.Challenges].
func (s *Store) DropChallenge(_ context.Context, hash [32]byte) (bool, error) {
	defer s.lock()()
	_, ok := s.challenges[hash]
	delete(s.challenges, hash)
	return ok, nil
}

// PruneChallenges is of [mfa.Challenges].
func (s *Store) PruneChallenges(_ context.Context, now time.Time) (int, error) {
	defer s.lock()()
	before := len(s.challenges)
	maps.DeleteFunc(s.challenges, func(_ [32]byte, c mfa.Challenge) bool { return !c.Expires.After(now) })
	return before - len(s.challenges), nil
}
