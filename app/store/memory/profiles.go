package memory

import (
	"context"
	"time"

	"github.com/holdfast-security/holdfast/app/account"
	"github.com/holdfast-security/holdfast/app/login"
)

// SetAddress is of [account.Profiles].
func (s *Store) SetAddress(_ context.Context, key string, id login.ID, mail string) error {
	defer s.lock()()
	a, ok := s.accounts[key]
	if !ok {
		return login.ErrNoAccount
	}
	if other, ok := s.ids[id]; ok && other != key {
		return login.ErrTaken
	}
	delete(s.ids, a.ID)
	a.ID, a.Mail = id, mail
	a.Epoch++
	s.ids[id], s.accounts[key] = key, a
	return nil
}

// Phone is of [account.Profiles] and of [support.Contacts].
func (s *Store) Phone(_ context.Context, account string) (string, error) {
	defer s.lock()()
	return s.phones[account], nil
}

// SetPhone is of [account.Profiles].
func (s *Store) SetPhone(_ context.Context, account, phone string) error {
	defer s.lock()()
	if phone == "" {
		delete(s.phones, account)
		return nil
	}
	s.phones[account] = phone
	return nil
}

// DropAccount is of [account.Profiles].
func (s *Store) DropAccount(_ context.Context, key string) error {
	defer s.lock()()
	a, ok := s.accounts[key]
	if !ok {
		return login.ErrNoAccount
	}
	delete(s.accounts, key)
	delete(s.roles, key)
	delete(s.ids, a.ID)
	return nil
}

// PutLoss is of [account.Losses].
func (s *Store) PutLoss(_ context.Context, account string, due time.Time) (bool, error) {
	defer s.lock()()
	if _, ok := s.losses[account]; ok {
		return false, nil
	}
	s.losses[account] = due
	return true, nil
}

// Loss is of [account.Losses].
func (s *Store) Loss(_ context.Context, key string) (time.Time, error) {
	defer s.lock()()
	due, ok := s.losses[key]
	if !ok {
		return time.Time{}, account.ErrNoLoss
	}
	return due, nil
}

// DropLoss is of [account.Losses].
func (s *Store) DropLoss(_ context.Context, account string) (bool, error) {
	defer s.lock()()
	_, ok := s.losses[account]
	delete(s.losses, account)
	return ok, nil
}
