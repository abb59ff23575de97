package store

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/recovery"
)

// PutToken is of [recovery.Tokens].
func (s *Store) PutToken(ctx context.Context, t recovery.Token) error {
	for _, err := range []error{tooLong("purpose", t.Purpose, 64), tooLong("key", t.Account, 64), tooLong("mail address", t.Mail, 320)} {
		if err != nil {
			return fmt.Errorf("storing a token: %w", err)
		}
	}
	_, err := s.exec(ctx, "INSERT INTO holdfast_tokens (hash, purpose, account, mail, expires) VALUES (?, ?, ?, ?, ?)",
		t.Hash[:], t.Purpose, t.Account, t.Mail, t.Expires.UnixMicro())
	if err != nil {
		return fmt.Errorf("storing a token: %w", err)
	}
	return nil
}

// FindToken is of [recovery.Tokens].
func (s *Store) FindToken(ctx context.Context, hash [32]byte, purpose string, now time.Time) (recovery.Token, error) {
	t := recovery.Token{Hash: hash, Purpose: purpose}
	var expires int64
	err := s.row(ctx, "SELECT account, mail, expires FROM holdfast_tokens WHERE hash = ? AND purpose = ? AND expires > ?",
		hash[:], purpose, now.UnixMicro()).Scan(&t.Account, &t.Mail, &expires)
	if absent(err) {
		return recovery.Token{}, recovery.ErrNoToken
	}
	if err != nil {
		return recovery.Token{}, fmt.Errorf("reading a token: %w", err)
	}
	t.Expires = time.UnixMicro(expires)
	return t, nil
}

// SpendToken is of [recovery.Tokens].
func (s *Store) SpendToken(ctx context.Context, hash [32]byte, purpose string, now time.Time) (recovery.Token, error) {
	t, err := s.FindToken(ctx, hash, purpose, now)
	if err != nil {
		return recovery.Token{}, err
	}
	n, err := s.exec(ctx, "DELETE FROM holdfast_tokens WHERE hash = ? AND purpose = ? AND expires > ?", hash[:], purpose, now.UnixMicro())
	if err != nil {
		return recovery.Token{}, fmt.Errorf("spending a token: %w", err)
	}
	if n == 0 {
		return recovery.Token{}, recovery.ErrNoToken // somebody else was first
	}
	return t, nil
}

// DropTokens is of [recovery.Tokens].
func (s *Store) DropTokens(ctx context.Context, account string, now time.Time) error {
	query, args := "DELETE FROM holdfast_tokens WHERE expires <= ?", []any{now.UnixMicro()}
	if account != "" {
		query, args = "DELETE FROM holdfast_tokens WHERE account = ?", []any{account}
	}
	if _, err := s.exec(ctx, query, args...); err != nil {
		return fmt.Errorf("dropping tokens: %w", err)
	}
	return nil
}
