package memory

import (
	"context"
	"slices"

	"github.com/holdfast-security/holdfast/app/access"
	"github.com/holdfast-security/holdfast/app/login"
)

// Roles is of [access.Directory].
func (s *Store) Roles(_ context.Context, account string) ([]access.Role, error) {
	defer s.lock()()
	return slices.Clone(s.roles[account]), nil
}

// SetRoles is of [access.Directory].
func (s *Store) SetRoles(_ context.Context, account string, roles []access.Role) error {
	if err := access.CheckRoles(roles); err != nil {
		return err
	}
	defer s.lock()()
	a, ok := s.accounts[account]
	if !ok {
		return login.ErrNoAccount
	}
	a.Epoch++
	s.accounts[account] = a
	s.roles[account] = slices.Clone(roles)
	return nil
}
