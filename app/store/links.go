package store

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
)

// PutLink is of [login.Links].
func (s *Store) PutLink(ctx context.Context, l login.Link, m outbox.Mail) error {
	return s.Tx(ctx, func(tx *Store) error {
		_, err := tx.exec(ctx, "INSERT INTO holdfast_links (hash, purpose, account, expires) VALUES (?, ?, ?, ?)",
			l.Hash[:], l.Purpose, l.Account, l.Expires.UnixMicro())
		if err != nil {
			return fmt.Errorf("storing a link: %w", err)
		}
		return tx.PutMail(ctx, m)
	})
}

// SpendLink is of [login.Links].
func (s *Store) SpendLink(ctx context.Context, hash [32]byte, purpose string, now time.Time) (string, error) {
	var account string
	err := s.row(ctx, "SELECT account FROM holdfast_links WHERE hash = ? AND purpose = ? AND expires > ?",
		hash[:], purpose, now.UnixMicro()).Scan(&account)
	if absent(err) {
		return "", login.ErrNoLink
	}
	if err != nil {
		return "", fmt.Errorf("reading a link: %w", err)
	}
	n, err := s.exec(ctx, "DELETE FROM holdfast_links WHERE hash = ? AND purpose = ? AND expires > ?", hash[:], purpose, now.UnixMicro())
	if err != nil {
		return "", fmt.Errorf("spending a link: %w", err)
	}
	if n == 0 {
		return "", login.ErrNoLink // somebody else was first
	}
	return account, nil
}

// PruneLinks is of [login.Links].
func (s *Store) PruneLinks(ctx context.Context, now time.Time) (int, error) {
	n, err := s.exec(ctx, "DELETE FROM holdfast_links WHERE expires <= ?", now.UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("pruning links: %w", err)
	}
	return n, nil
}
