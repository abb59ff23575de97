package store

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/mfa"
)

// PutChallenge is of [mfa.Challenges].
func (s *Store) PutChallenge(ctx context.Context, c mfa.Challenge) error {
	if err := tooLong("key", c.Account, 64); err != nil {
		return fmt.Errorf("storing a challenge: %w", err)
	}
	_, err := s.exec(ctx, "INSERT INTO holdfast_challenges (hash, account, epoch, tries, expires) VALUES (?, ?, ?, ?, ?)",
		c.Hash[:], c.Account, c.Epoch, c.Tries, c.Expires.UnixMicro())
	if err != nil {
		return fmt.Errorf("storing a challenge: %w", err)
	}
	return nil
}

// TryChallenge is of [mfa.Challenges].
func (s *Store) TryChallenge(ctx context.Context, hash [32]byte, now time.Time) (mfa.Challenge, error) {
	n, err := s.exec(ctx, "UPDATE holdfast_challenges SET tries = tries - 1 WHERE hash = ? AND tries > 0 AND expires > ?", hash[:], now.UnixMicro())
	if err != nil {
		return mfa.Challenge{}, fmt.Errorf("trying a challenge: %w", err)
	}
	if n == 0 {
		return mfa.Challenge{}, mfa.ErrNoChallenge
	}
	c := mfa.Challenge{Hash: hash}
	var expires int64
	err = s.row(ctx, "SELECT account, epoch, tries, expires FROM holdfast_challenges WHERE hash = ?", hash[:]).
		Scan(&c.Account, &c.Epoch, &c.Tries, &expires)
	if absent(err) {
		return mfa.Challenge{}, mfa.ErrNoChallenge // answered meanwhile
	}
	if err != nil {
		return mfa.Challenge{}, fmt.Errorf("reading a challenge: %w", err)
	}
	c.Expires = time.UnixMicro(expires)
	return c, nil
}

// DropChallenge is of [mfa.Challenges].
func (s *Store) DropChallenge(ctx context.Context, hash [32]byte) (bool, error) {
	n, err := s.exec(ctx, "DELETE FROM holdfast_challenges WHERE hash = ?", hash[:])
	if err != nil {
		return false, fmt.Errorf("dropping a challenge: %w", err)
	}
	return n == 1, nil
}

// PruneChallenges is of [mfa.Challenges].
func (s *Store) PruneChallenges(ctx context.Context, now time.Time) (int, error) {
	n, err := s.exec(ctx, "DELETE FROM holdfast_challenges WHERE expires <= ?", now.UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("pruning challenges: %w", err)
	}
	return n, nil
}
