package store

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/account"
	"github.com/holdfast-security/holdfast/app/login"
)

// SetAddress is of [account.Profiles]. If two accounts take one id in the same
// moment, the later one fails with the driver's error.
func (s *Store) SetAddress(ctx context.Context, key string, id login.ID, mail string) error {
	for _, err := range []error{tooLong("login id", string(id), login.MaxID), tooLong("mail address", mail, 320)} {
		if err != nil {
			return fmt.Errorf("setting an address: %w", err)
		}
	}
	var other int
	err := s.row(ctx, "SELECT 1 FROM holdfast_accounts WHERE login = ? AND account <> ?", string(id), key).Scan(&other)
	if err == nil {
		return login.ErrTaken
	}
	if !absent(err) {
		return fmt.Errorf("setting an address: %w", err)
	}
	n, err := s.exec(ctx, "UPDATE holdfast_accounts SET login = ?, mail = ?, epoch = epoch + 1 WHERE account = ?", string(id), mail, key)
	return changedOne(n, err, "setting an address")
}

// Phone is of [account.Profiles] and of [support.Contacts].
func (s *Store) Phone(ctx context.Context, account string) (string, error) {
	var phone string
	err := s.row(ctx, "SELECT phone FROM holdfast_phones WHERE account = ?", account).Scan(&phone)
	if err != nil && !absent(err) {
		return "", fmt.Errorf("reading a phone: %w", err)
	}
	return phone, nil
}

// SetPhone is of [account.Profiles].
func (s *Store) SetPhone(ctx context.Context, account, phone string) error {
	if err := tooLong("phone", phone, 64); err != nil {
		return fmt.Errorf("setting a phone: %w", err)
	}
	if phone == "" {
		if _, err := s.exec(ctx, "DELETE FROM holdfast_phones WHERE account = ?", account); err != nil {
			return fmt.Errorf("removing a phone: %w", err)
		}
		return nil
	}
	err := s.put(ctx, func() (int, error) {
		return s.exec(ctx, "UPDATE holdfast_phones SET phone = ? WHERE account = ?", phone, account)
	}, func() (bool, error) {
		return s.insert(ctx, s.exec, "INSERT INTO holdfast_phones (account, phone) VALUES (?, ?)",
			[]any{account, phone}, "SELECT 1 FROM holdfast_phones WHERE account = ?", account)
	})
	if err != nil {
		return fmt.Errorf("setting a phone: %w", err)
	}
	return nil
}

// DropAccount is of [account.Profiles].
func (s *Store) DropAccount(ctx context.Context, key string) error {
	return s.Tx(ctx, func(tx *Store) error {
		if _, err := tx.exec(ctx, "DELETE FROM holdfast_roles WHERE account = ?", key); err != nil {
			return fmt.Errorf("dropping roles: %w", err)
		}
		n, err := tx.exec(ctx, "DELETE FROM holdfast_accounts WHERE account = ?", key)
		return changedOne(n, err, "dropping an account")
	})
}

// PutLoss is of [account.Losses].
func (s *Store) PutLoss(ctx context.Context, account string, due time.Time) (bool, error) {
	if err := tooLong("key", account, 64); err != nil {
		return false, fmt.Errorf("noting a loss: %w", err)
	}
	added, err := s.insert(ctx, s.exec, "INSERT INTO holdfast_losses (account, due) VALUES (?, ?)", []any{account, due.UnixMicro()},
		"SELECT 1 FROM holdfast_losses WHERE account = ?", account)
	if err != nil {
		return false, fmt.Errorf("noting a loss: %w", err)
	}
	return added, nil
}

// Loss is of [account.Losses].
func (s *Store) Loss(ctx context.Context, key string) (time.Time, error) {
	var due int64
	err := s.row(ctx, "SELECT due FROM holdfast_losses WHERE account = ?", key).Scan(&due)
	if absent(err) {
		return time.Time{}, account.ErrNoLoss
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("reading a loss: %w", err)
	}
	return time.UnixMicro(due), nil
}

// DropLoss is of [account.Losses].
func (s *Store) DropLoss(ctx context.Context, account string) (bool, error) {
	n, err := s.exec(ctx, "DELETE FROM holdfast_losses WHERE account = ?", account)
	if err != nil {
		return false, fmt.Errorf("dropping a loss: %w", err)
	}
	return n == 1, nil
}
