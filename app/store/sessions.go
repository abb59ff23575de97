package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/session"
)

// A session is read together with its account: what changes the account's epoch
// or switches it off ends the session in the same moment.
const readSessions = `SELECT s.hash, s.id, s.account, s.epoch, s.began, s.seen, s.proven, s.expires, s.idle, s.proven_by, s.addr, s.browser, s.remember
	FROM holdfast_sessions s JOIN holdfast_accounts a ON a.account = s.account AND a.epoch = s.epoch AND a.disabled = FALSE `

func scanSession(scan func(dest ...any) error) (session.Record, error) {
	var r session.Record
	var hash []byte
	var began, seen, proven, expires, idle int64
	err := scan(&hash, &r.ID, &r.Account, &r.Epoch, &began, &seen, &proven, &expires, &idle, &r.By, &r.Addr, &r.Browser, &r.Remember)
	if err != nil {
		return session.Record{}, err
	}
	if copy(r.Hash[:], hash) != len(r.Hash) {
		return session.Record{}, fmt.Errorf("a hash of %d bytes", len(hash))
	}
	r.Began, r.Seen, r.Proven, r.Expires = time.UnixMicro(began), time.UnixMicro(seen), time.UnixMicro(proven), time.UnixMicro(expires)
	r.Idle = time.Duration(idle) * time.Microsecond
	return r, nil
}

// AddSession is of [session.Holder].
func (s *Store) AddSession(ctx context.Context, r session.Record) error {
	for _, err := range []error{
		tooLong("id", r.ID, 64), tooLong("account", r.Account, 64), tooLong("proof", r.By, 64),
		tooLong("address", r.Addr, 64), tooLong("browser", r.Browser, session.MaxBrowser),
	} {
		if err != nil {
			return fmt.Errorf("adding a session: %w", err)
		}
	}
	_, err := s.exec(ctx, `INSERT INTO holdfast_sessions
		(hash, id, account, epoch, began, seen, proven, expires, idle, proven_by, addr, browser, remember) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Hash[:], r.ID, r.Account, r.Epoch, r.Began.UnixMicro(), r.Seen.UnixMicro(), r.Proven.UnixMicro(), r.Expires.UnixMicro(),
		r.Idle.Microseconds(), r.By, r.Addr, r.Browser, r.Remember)
	if err != nil {
		return fmt.Errorf("adding a session: %w", err)
	}
	return nil
}

// FindSession is of [session.Holder].
func (s *Store) FindSession(ctx context.Context, hash [32]byte) (session.Record, error) {
	query := readSessions + "WHERE s.hash = ?"
	row := s.row
	if s.finding != nil {
		if err := ctx.Err(); err != nil {
			return session.Record{}, fmt.Errorf("reading a session: %w", err)
		}
		// It takes microseconds; to watch the context meanwhile takes as long again.
		stmt, err := s.finding.prepare(ctx, s.db, query)
		if err != nil {
			return session.Record{}, fmt.Errorf("reading a session: %w", err)
		}
		row = func(ctx context.Context, _ string, args ...any) *sql.Row { return stmt.QueryRowContext(context.WithoutCancel(ctx), args...) }
	}
	r, err := scanSession(row(ctx, query, hash[:]).Scan)
	if absent(err) {
		return session.Record{}, session.ErrNoSession
	}
	if err != nil {
		return session.Record{}, fmt.Errorf("reading a session: %w", err)
	}
	return r, nil
}

// ReplaceSession is of [session.Holder].
func (s *Store) ReplaceSession(ctx context.Context, old [32]byte, r session.Record) error {
	if err := tooLong("proof", r.By, 64); err != nil {
		return fmt.Errorf("replacing a session: %w", err)
	}
	n, err := s.exec(ctx, "UPDATE holdfast_sessions SET hash = ?, proven_by = ?, proven = ? WHERE hash = ?",
		r.Hash[:], r.By, r.Proven.UnixMicro(), old[:])
	if err != nil {
		return fmt.Errorf("replacing a session: %w", err)
	}
	if n == 0 {
		return session.ErrNoSession
	}
	return nil
}

// TouchSession is of [session.Holder].
func (s *Store) TouchSession(ctx context.Context, hash [32]byte, now, before time.Time) (bool, error) {
	n, err := s.execLightly(ctx, "UPDATE holdfast_sessions SET seen = ? WHERE hash = ? AND seen <= ?",
		now.UnixMicro(), hash[:], before.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("noting that a session was seen: %w", err)
	}
	return n == 1, nil
}

// ListSessions is of [session.Ender].
func (s *Store) ListSessions(ctx context.Context, account string, now time.Time) ([]session.Record, error) {
	at := now.UnixMicro()
	rows, err := s.conn.QueryContext(ctx, s.placeholders(readSessions+
		"WHERE s.account = ? AND s.expires > ? AND s.seen + s.idle > ? ORDER BY s.seen DESC, s.id"), account, at, at)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	defer rows.Close()
	var all []session.Record
	for rows.Next() {
		r, err := scanSession(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("listing sessions: %w", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	return all, nil
}

// EndSession is of [session.Ender].
func (s *Store) EndSession(ctx context.Context, account, id string) error {
	if _, err := s.exec(ctx, "DELETE FROM holdfast_sessions WHERE account = ? AND id = ?", account, id); err != nil {
		return fmt.Errorf("ending a session: %w", err)
	}
	return nil
}

// EndSessions is of [session.Ender].
func (s *Store) EndSessions(ctx context.Context, account, keep string) (int, error) {
	var n int
	err := s.Tx(ctx, func(tx *Store) (err error) {
		n, err = tx.exec(ctx, "DELETE FROM holdfast_sessions WHERE account = ? AND id <> ?", account, keep)
		if err != nil || keep == "" {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE holdfast_sessions SET epoch = (SELECT a.epoch FROM holdfast_accounts a WHERE a.account = ?)
			WHERE account = ? AND id = ? AND EXISTS (SELECT 1 FROM holdfast_accounts a WHERE a.account = ?)`, account, account, keep, account)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("ending sessions: %w", err)
	}
	return n, nil
}

// PruneSessions is of [session.Ender].
func (s *Store) PruneSessions(ctx context.Context, now time.Time) (int, error) {
	at := now.UnixMicro()
	n, err := s.exec(ctx, `DELETE FROM holdfast_sessions WHERE expires <= ? OR seen + idle <= ? OR NOT EXISTS
		(SELECT 1 FROM holdfast_accounts a WHERE a.account = holdfast_sessions.account AND a.epoch = holdfast_sessions.epoch)`, at, at)
	if err != nil {
		return 0, fmt.Errorf("pruning sessions: %w", err)
	}
	return n, nil
}
