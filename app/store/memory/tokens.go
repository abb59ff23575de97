package memory

import (
	"context"
	"maps"
	"time"

	"github.com/holdfast-security/holdfast/app/recovery"
)

// PutToken is of [recovery.Tokens].
func (s *Store) PutToken(_ context.Context, t recovery.Token) error {
	defer s.lock()()
	s.tokens[t.Hash] = t
	return nil
}

// FindToken is of [recovery.Tokens].
func (s *Store) FindToken(_ context.Context, hash [32]byte, purpose string, now time.Time) (recovery.Token, error) {
	defer s.lock()()
	return s.token(hash, purpose, now)
}

func (s *Store) token(hash [32]byte, purpose string, now time.Time) (recovery.Token, error) {
	t, ok := s.tokens[hash]
	if !ok || t.Purpose != purpose || !t.Expires.After(now) {
		return recovery.Token{}, recovery.ErrNoToken
	}
	return t, nil
}

// SpendToken is of [recovery.Tokens].
func (s *Store) SpendToken(_ context.Context, hash [32]byte, purpose string, now time.Time) (recovery.Token, error) {
	defer s.lock()()
	t, err := s.token(hash, purpose, now)
	if err == nil {
		delete(s.tokens, hash)
	}
	return t, err
}

// DropTokens is of [recovery.Tokens].
func (s *Store) DropTokens(_ context.Context, account string, now time.Time) error {
	defer s.lock()()
	maps.DeleteFunc(s.tokens, func(_ [32]byte, t recovery.Token) bool {
		if account == "" {
			return !t.Expires.After(now)
		}
		return t.Account == account
	})
	return nil
}
