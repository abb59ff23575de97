package memory

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/app/session"
)

// live reports whether a session's account is as it was when the session began.
func (s *Store) live(r session.Record) bool {
	a, ok := s.accounts[r.Account]
	return ok && !a.Disabled && a.Epoch == r.Epoch
}

// AddSession is of [session.Holder].
func (s *Store) AddSession(_ context.Context, r session.Record) error {
	defer s.lock()()
	if _, ok := s.sessions[r.Hash]; ok {
		return errors.New("adding a session: one with its hash is there")
	}
	s.sessions[r.Hash] = r
	return nil
}

// FindSession is of [session.Holder].
func (s *Store) FindSession(_ context.Context, hash [32]byte) (session.Record, error) {
	defer s.lock()()
	r, ok := s.sessions[hash]
	if !ok || !s.live(r) {
		return session.Record{}, session.ErrNoSession
	}
	return r, nil
}

// ReplaceSession is of [session.Holder].
func (s *Store) ReplaceSession(_ context.Context, old [32]byte, r session.Record) error {
	defer s.lock()()
	now, ok := s.sessions[old]
	if !ok {
		return session.ErrNoSession
	}
	delete(s.sessions, old)
	now.Hash, now.By, now.Proven = r.Hash, r.By, r.Proven
	s.sessions[r.Hash] = now
	return nil
}

// TouchSession is of [session.Holder].
func (s *Store) TouchSession(_ context.Context, hash [32]byte, now, before time.Time) (bool, error) {
	defer s.lock()()
	r, ok := s.sessions[hash]
	if !ok || r.Seen.After(before) {
		return false, nil
	}
	r.Seen = now.Truncate(time.Microsecond)
	s.sessions[hash] = r
	return true, nil
}

// ListSessions is of [session.Ender].
func (s *Store) ListSessions(_ context.Context, account string, now time.Time) ([]session.Record, error) {
	defer s.lock()()
	var all []session.Record
	for _, r := range s.sessions {
		if r.Account == account && s.live(r) && r.Expires.After(now) && r.Seen.Add(r.Idle).After(now) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b session.Record) int {
		return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// EndSession is of [session.Ender].
func (s *Store) EndSession(_ context.Context, account, id string) error {
	defer s.lock()()
	maps.DeleteFunc(s.sessions, func(_ [32]byte, r session.Record) bool { return r.Account == account && r.ID == id })
	return nil
}

// EndSessions is of [session.Ender].
func (s *Store) EndSessions(_ context.Context, account, keep string) (int, error) {
	defer s.lock()()
	before := len(s.sessions)
	maps.DeleteFunc(s.sessions, func(_ [32]byte, r session.Record) bool { return r.Account == account && r.ID != keep })
	ended := before - len(s.sessions)
	if a, ok := s.accounts[account]; ok && keep != "" {
		for hash, r := range s.sessions {
			if r.Account == account && r.ID == keep {
				r.Epoch = a.Epoch
				s.sessions[hash] = r
			}
		}
	}
	return ended, nil
}

// PruneSessions is of [session.Ender].
func (s *Store) PruneSessions(_ context.Context, now time.Time) (int, error) {
	defer s.lock()()
	before := len(s.sessions)
	maps.DeleteFunc(s.sessions, func(_ [32]byte, r session.Record) bool {
		a, ok := s.accounts[r.Account]
		return !r.Expires.After(now) || !r.Seen.Add(r.Idle).After(now) || !ok || a.Epoch != r.Epoch
	})
	return before - len(s.sessions), nil
}
