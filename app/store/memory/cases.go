package memory

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/app/support"
)

// AddCase is of [support.Cases].
func (s *Store) AddCase(_ context.Context, c support.Case) error {
	defer s.lock()()
	c.Actions = slices.Clone(c.Actions)
	s.cases[c.ID] = c
	return nil
}

// Case is of [support.Cases].
func (s *Store) Case(_ context.Context, id, staff string) (support.Case, error) {
	defer s.lock()()
	return s.findCase(id, staff)
}

func (s *Store) findCase(id, staff string) (support.Case, error) {
	c, ok := s.cases[id]
	if !ok || c.Staff != staff {
		return support.Case{}, support.ErrNoCase
	}
	return c, nil
}

// SetCaseCode is of [support.Codes].
func (s *Store) SetCaseCode(_ context.Context, id, staff string, code [32]byte, tries int, expires time.Time) error {
	defer s.lock()()
	c, err := s.findCase(id, staff)
	if err != nil {
		return err
	}
	c.Code, c.Tries, c.Expires, c.Until = code, tries, expires, time.Time{}
	s.cases[id] = c
	return nil
}

// TryCaseCode is of [support.Codes].
func (s *Store) TryCaseCode(_ context.Context, id, staff string, now time.Time) (support.Case, error) {
	defer s.lock()()
	c, err := s.findCase(id, staff)
	if err != nil || c.Tries <= 0 || !c.Expires.After(now) {
		return support.Case{}, support.ErrNoCase
	}
	c.Tries--
	s.cases[id] = c
	return c, nil
}

// SpendCaseCode is of [support.Codes].
func (s *Store) SpendCaseCode(_ context.Context, id, staff string, code [32]byte, until time.Time) (bool, error) {
	defer s.lock()()
	c, err := s.findCase(id, staff)
	if err != nil || c.Code != code || c.Expires.IsZero() {
		return false, nil
	}
	c.Tries, c.Expires, c.Until = 0, time.Time{}, until
	s.cases[id] = c
	return true, nil
}

// PutAct is of [support.Log].
func (s *Store) PutAct(_ context.Context, a support.Act) error {
	defer s.lock()()
	s.acts = append(s.acts, a)
	return nil
}

// Acts is of [support.Log].
func (s *Store) Acts(_ context.Context, id string) ([]support.Act, error) {
	defer s.lock()()
	var all []support.Act
	for _, a := range s.acts {
		if a.Case == id {
			all = append(all, a)
		}
	}
	return all, nil
}
