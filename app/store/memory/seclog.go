package memory

import (
	"context"
	"slices"

	"github.com/holdfast-security/holdfast/app/seclog"
)

// AppendEntry is of [seclog.Store].
func (s *Store) AppendEntry(_ context.Context, next func(seq int64, hash [32]byte) (seclog.Entry, error)) error {
	defer s.lock()()
	e, err := next(s.head.Seq, s.head.Hash)
	if err != nil {
		return err
	}
	s.head, s.entries = e.Head, append(s.entries, e)
	return nil
}

// Entries is of [seclog.Store].
func (s *Store) Entries(_ context.Context, after int64, limit int) ([]seclog.Entry, error) {
	defer s.lock()()
	var all []seclog.Entry
	for _, e := range s.entries {
		if e.Seq > after && len(all) < limit {
			all = append(all, e)
		}
	}
	return all, nil
}

// DropEntries is of [seclog.Store].
func (s *Store) DropEntries(_ context.Context, through int64) (int, error) {
	defer s.lock()()
	before := len(s.entries)
	s.entries = slices.DeleteFunc(s.entries, func(e seclog.Entry) bool { return e.Seq <= through })
	return before - len(s.entries), nil
}
