package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/throttle"
)

// Take is of [throttle.Store].
func (s *Store) Take(ctx context.Context, b throttle.Bucket, r throttle.Rate, now time.Time) (time.Duration, error) {
	wait, err := s.take(ctx, int64(b), r, now.UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("bucket %d: %w", b, err)
	}
	return wait, nil
}

func (s *Store) take(ctx context.Context, b int64, r throttle.Rate, now int64) (time.Duration, error) {
	every := r.Every.Microseconds()
	latest := now + every*int64(r.Burst-1) // of a bucket that has room for one
	// A second round is needed when another call adds or prunes the bucket
	// between two statements.
	for range 8 {
		n, err := s.execLightly(ctx, `UPDATE holdfast_attempts SET full_at = CASE WHEN full_at > ? THEN full_at ELSE ? END + ?
			WHERE bucket = ? AND full_at <= ?`, now, now, every, b, latest)
		if err != nil || n == 1 {
			return 0, err
		}
		var full int64
		err = s.row(ctx, "SELECT full_at FROM holdfast_attempts WHERE bucket = ?", b).Scan(&full)
		switch {
		case err == nil && full > latest:
			return time.Duration(full-latest) * time.Microsecond, nil
		case err == nil:
			continue // it has been refunded
		case !absent(err):
			return 0, err
		}
		added, err := s.insert(ctx, s.execLightly, "INSERT INTO holdfast_attempts (bucket, full_at) VALUES (?, ?)", []any{b, now + every},
			"SELECT 1 FROM holdfast_attempts WHERE bucket = ?", b)
		if err != nil || added {
			return 0, err
		}
	}
	return 0, errors.New("it does not hold still")
}

// Refund is of [throttle.Store].
func (s *Store) Refund(ctx context.Context, b throttle.Bucket, r throttle.Rate) error {
	_, err := s.execLightly(ctx, "UPDATE holdfast_attempts SET full_at = full_at - ? WHERE bucket = ?", r.Every.Microseconds(), int64(b))
	if err != nil {
		return fmt.Errorf("bucket %d: %w", b, err)
	}
	return nil
}

// Prune is of [throttle.Store].
func (s *Store) Prune(ctx context.Context, now time.Time) (int, error) {
	n, err := s.execLightly(ctx, "DELETE FROM holdfast_attempts WHERE full_at <= ?", now.UnixMicro())
	if err != nil {
		return 0, fmt.Errorf("pruning buckets: %w", err)
	}
	return n, nil
}
