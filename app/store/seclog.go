package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-security/holdfast/app/seclog"
)

// AppendEntry is of [seclog.Store]. The one row of the head is locked first, so
// that whoever else appends waits; a lock on the end of the entries would let two
// transactions wait for each other.
func (s *Store) AppendEntry(ctx context.Context, next func(seq int64, hash [32]byte) (seclog.Entry, error)) error {
	read := "SELECT seq, hash FROM holdfast_seclog_head WHERE one = 1 FOR UPDATE"
	if s.dialect == SQLite {
		read = "SELECT seq, hash FROM holdfast_seclog_head WHERE one = 1" // the whole file is locked
	}
	return s.Tx(ctx, func(tx *Store) error {
		var seq int64
		var stored []byte
		if err := tx.row(ctx, read).Scan(&seq, &stored); err != nil {
			return fmt.Errorf("reading the head of the security log: %w", err)
		}
		var hash [32]byte
		if n := copy(hash[:], stored); seq != 0 && n != len(hash) {
			return errors.New("the head of the security log has no hash")
		}
		e, err := next(seq, hash)
		if err != nil {
			return err
		}
		if err := errors.Join(tooLong("line", e.Line, 1<<16-1), tooLong("key id", e.KeyID, 64)); err != nil {
			return err
		}
		_, err = tx.exec(ctx, "INSERT INTO holdfast_seclog (seq, line, hash, key_id, mac) VALUES (?, ?, ?, ?, ?)",
			e.Seq, e.Line, e.Hash[:], e.KeyID, e.MAC[:])
		if err != nil {
			return fmt.Errorf("appending to the security log: %w", err)
		}
		n, err := tx.exec(ctx, "UPDATE holdfast_seclog_head SET seq = ?, hash = ? WHERE one = 1 AND seq = ?", e.Seq, e.Hash[:], seq)
		if err == nil && n != 1 {
			err = errors.New("another entry was appended meanwhile")
		}
		if err != nil {
			return fmt.Errorf("moving the head of the security log: %w", err)
		}
		return nil
	})
}

// Entries is of [seclog.Store].
func (s *Store) Entries(ctx context.Context, after int64, limit int) ([]seclog.Entry, error) {
	rows, err := s.conn.QueryContext(ctx, s.placeholders(
		"SELECT seq, line, hash, key_id, mac FROM holdfast_seclog WHERE seq > ? ORDER BY seq LIMIT ?"), after, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the security log: %w", err)
	}
	defer rows.Close()
	var all []seclog.Entry
	for rows.Next() {
		var e seclog.Entry
		var hash, mac []byte
		if err := rows.Scan(&e.Seq, &e.Line, &hash, &e.KeyID, &mac); err != nil {
			return nil, fmt.Errorf("reading the security log: %w", err)
		}
		copy(e.Hash[:], hash) // one of another length does not match
		copy(e.MAC[:], mac)
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the security log: %w", err)
	}
	return all, nil
}

// DropEntries is of [seclog.Store].
func (s *Store) DropEntries(ctx context.Context, through int64) (int, error) {
	n, err := s.exec(ctx, "DELETE FROM holdfast_seclog WHERE seq <= ?", through)
	if err != nil {
		return 0, fmt.Errorf("dropping from the security log: %w", err)
	}
	return n, nil
}
