package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/holdfast-security/holdfast/app/login"
)

const accountColumns = "SELECT account, login, mail, password, disabled, epoch FROM holdfast_accounts "

func scanAccount(row *sql.Row) (login.Account, error) {
	var a login.Account
	err := row.Scan(&a.Key, &a.ID, &a.Mail, &a.Password, &a.Disabled, &a.Epoch)
	if absent(err) {
		return login.Account{}, login.ErrNoAccount
	}
	if err != nil {
		return login.Account{}, fmt.Errorf("reading an account: %w", err)
	}
	return a, nil
}

// FindAccount is of [login.Accounts].
func (s *Store) FindAccount(ctx context.Context, id login.ID) (login.Account, error) {
	return scanAccount(s.row(ctx, accountColumns+"WHERE login = ?", string(id)))
}

// Account is of [login.Accounts].
func (s *Store) Account(ctx context.Context, key string) (login.Account, error) {
	return scanAccount(s.row(ctx, accountColumns+"WHERE account = ?", key))
}

// AddAccount is of [login.Directory].
func (s *Store) AddAccount(ctx context.Context, a login.Account) error {
	for _, err := range []error{
		tooLong("key", a.Key, 64), tooLong("login id", string(a.ID), login.MaxID),
		tooLong("mail address", a.Mail, 320), tooLong("hash", a.Password, 1100),
	} {
		if err != nil {
			return fmt.Errorf("adding an account: %w", err)
		}
	}
	added, err := s.insert(ctx, s.exec,
		"INSERT INTO holdfast_accounts (account, login, mail, password, disabled, epoch) VALUES (?, ?, ?, ?, ?, ?)",
		[]any{a.Key, string(a.ID), a.Mail, a.Password, a.Disabled, a.Epoch},
		"SELECT 1 FROM holdfast_accounts WHERE login = ? OR account = ?", string(a.ID), a.Key)
	if err != nil {
		return fmt.Errorf("adding an account: %w", err)
	}
	if !added {
		return login.ErrTaken
	}
	return nil
}

// UpgradePassword is of [login.Accounts].
func (s *Store) UpgradePassword(ctx context.Context, key, old, new string) (bool, error) {
	if err := tooLong("hash", new, 1100); err != nil {
		return false, fmt.Errorf("upgrading a hash: %w", err)
	}
	n, err := s.exec(ctx, "UPDATE holdfast_accounts SET password = ? WHERE account = ? AND password = ?", new, key, old)
	if err != nil {
		return false, fmt.Errorf("upgrading a hash: %w", err)
	}
	return n == 1, nil
}

// SetPassword is of [login.Directory].
func (s *Store) SetPassword(ctx context.Context, key, hash string) error {
	if err := tooLong("hash", hash, 1100); err != nil {
		return fmt.Errorf("setting a password: %w", err)
	}
	n, err := s.exec(ctx, "UPDATE holdfast_accounts SET password = ?, epoch = epoch + 1 WHERE account = ?", hash, key)
	return changedOne(n, err, "setting a password")
}

// SetDisabled is of [login.Directory].
func (s *Store) SetDisabled(ctx context.Context, key string, disabled bool) error {
	n, err := s.exec(ctx, "UPDATE holdfast_accounts SET disabled = ?, epoch = epoch + 1 WHERE account = ?", disabled, key)
	return changedOne(n, err, "switching an account")
}

func changedOne(n int, err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n == 0 {
		return login.ErrNoAccount
	}
	return nil
}

// EachPassword is of [login.Accounts].
func (s *Store) EachPassword(ctx context.Context, visit func(stored string) error) error {
	rows, err := s.conn.QueryContext(ctx, "SELECT password FROM holdfast_accounts")
	if err != nil {
		return fmt.Errorf("reading hashes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var stored string
		if err := rows.Scan(&stored); err != nil {
			return fmt.Errorf("reading hashes: %w", err)
		}
		if err := visit(stored); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading hashes: %w", err)
	}
	return nil
}
