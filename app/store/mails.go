package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/outbox"
)

// PutMail is of [outbox.Queue].
func (s *Store) PutMail(ctx context.Context, m outbox.Mail) error {
	if err := m.Check(); err != nil {
		return err
	}
	_, err := s.exec(ctx, `INSERT INTO holdfast_outbox (id, created, leased, tries, recipient, subject, body)
		VALUES (?, ?, 0, 0, ?, ?, ?)`, rand.Text(), time.Now().UnixMicro(), m.To, m.Subject, m.Text)
	if err != nil {
		return fmt.Errorf("queueing a mail: %w", err)
	}
	return nil
}

// LeaseMail is of [outbox.Queue].
func (s *Store) LeaseMail(ctx context.Context, now, until time.Time) (outbox.Queued, bool, error) {
	for {
		var q outbox.Queued
		var leased int64
		err := s.row(ctx, `SELECT id, leased, tries, recipient, subject, body FROM holdfast_outbox
			WHERE leased <= ? ORDER BY created, id LIMIT 1`, now.UnixMicro()).
			Scan(&q.ID, &leased, &q.Tries, &q.To, &q.Subject, &q.Text)
		if absent(err) {
			return outbox.Queued{}, false, nil
		}
		if err != nil {
			return outbox.Queued{}, false, fmt.Errorf("reading the outbox: %w", err)
		}
		n, err := s.exec(ctx, "UPDATE holdfast_outbox SET leased = ?, tries = tries + 1 WHERE id = ? AND leased = ?", until.UnixMicro(), q.ID, leased)
		if err != nil {
			return outbox.Queued{}, false, fmt.Errorf("leasing a mail: %w", err)
		}
		if n == 1 {
			q.Tries++
			return q, true, nil
		}
		if err := ctx.Err(); err != nil {
			return outbox.Queued{}, false, err
		}
	}
}

// DeferMail is of [outbox.Queue].
func (s *Store) DeferMail(ctx context.Context, id string, until time.Time) error {
	if _, err := s.exec(ctx, "UPDATE holdfast_outbox SET leased = ? WHERE id = ?", until.UnixMicro(), id); err != nil {
		return fmt.Errorf("deferring a mail: %w", err)
	}
	return nil
}

// DropMail is of [outbox.Queue].
func (s *Store) DropMail(ctx context.Context, id string) error {
	if _, err := s.exec(ctx, "DELETE FROM holdfast_outbox WHERE id = ?", id); err != nil {
		return fmt.Errorf("dropping a mail: %w", err)
	}
	return nil
}
