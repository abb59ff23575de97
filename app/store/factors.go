package store

import (
	"context"
	"fmt"

	"github.com/holdfast-security/holdfast/app/mfa"
)

// Factor is of [mfa.Factors].
func (s *Store) Factor(ctx context.Context, account string) (mfa.Factor, error) {
	f := mfa.Factor{Account: account}
	err := s.row(ctx, "SELECT sealed, step FROM holdfast_factors WHERE account = ?", account).Scan(&f.Sealed, &f.Step)
	if absent(err) {
		return mfa.Factor{}, mfa.ErrNoFactor
	}
	if err != nil {
		return mfa.Factor{}, fmt.Errorf("reading a factor: %w", err)
	}
	return f, nil
}

// PutFactor is of [mfa.Factors].
func (s *Store) PutFactor(ctx context.Context, f mfa.Factor) error {
	for _, err := range []error{tooLong("key", f.Account, 64), tooLong("sealed secret", f.Sealed, mfa.MaxSealed)} {
		if err != nil {
			return fmt.Errorf("storing a factor: %w", err)
		}
	}
	err := s.put(ctx, func() (int, error) {
		return s.exec(ctx, "UPDATE holdfast_factors SET sealed = ?, step = ? WHERE account = ?", f.Sealed, f.Step, f.Account)
	}, func() (bool, error) {
		return s.insert(ctx, s.exec, "INSERT INTO holdfast_factors (account, sealed, step) VALUES (?, ?, ?)",
			[]any{f.Account, f.Sealed, f.Step}, "SELECT 1 FROM holdfast_factors WHERE account = ?", f.Account)
	})
	if err != nil {
		return fmt.Errorf("storing a factor: %w", err)
	}
	return nil
}

// put changes a row, or adds it if there is none. MySQL counts a row that was that
// already as not changed; then add finds it in the way.
func (s *Store) put(_ context.Context, change func() (int, error), add func() (bool, error)) error {
	if n, err := change(); err != nil || n == 1 {
		return err
	}
	if added, err := add(); err != nil || added {
		return err
	}
	_, err := change()
	return err
}

// UseStep is of [mfa.Factors].
func (s *Store) UseStep(ctx context.Context, account, sealed string, step int64) (bool, error) {
	n, err := s.exec(ctx, "UPDATE holdfast_factors SET step = ? WHERE account = ? AND sealed = ? AND step < ?", step, account, sealed, step)
	if err != nil {
		return false, fmt.Errorf("using a step: %w", err)
	}
	return n == 1, nil
}

// ResealFactor is of [mfa.Factors].
func (s *Store) ResealFactor(ctx context.Context, account, old, new string) (bool, error) {
	if err := tooLong("sealed secret", new, mfa.MaxSealed); err != nil {
		return false, fmt.Errorf("sealing a factor anew: %w", err)
	}
	n, err := s.exec(ctx, "UPDATE holdfast_factors SET sealed = ? WHERE account = ? AND sealed = ?", new, account, old)
	if err != nil {
		return false, fmt.Errorf("sealing a factor anew: %w", err)
	}
	return n == 1, nil
}

// PutCodes is of [mfa.Codes].
func (s *Store) PutCodes(ctx context.Context, account string, hashes [][32]byte) error {
	return s.Tx(ctx, func(tx *Store) error {
		if _, err := tx.exec(ctx, "DELETE FROM holdfast_codes WHERE account = ?", account); err != nil {
			return fmt.Errorf("dropping recovery codes: %w", err)
		}
		for _, h := range hashes {
			if _, err := tx.exec(ctx, "INSERT INTO holdfast_codes (account, hash) VALUES (?, ?)", account, h[:]); err != nil {
				return fmt.Errorf("storing recovery codes: %w", err)
			}
		}
		return nil
	})
}

// SpendCode is of [mfa.Codes].
func (s *Store) SpendCode(ctx context.Context, account string, hash [32]byte) (bool, error) {
	n, err := s.exec(ctx, "DELETE FROM holdfast_codes WHERE account = ? AND hash = ?", account, hash[:])
	if err != nil {
		return false, fmt.Errorf("spending a recovery code: %w", err)
	}
	return n == 1, nil
}

// CountCodes is of [mfa.Codes].
func (s *Store) CountCodes(ctx context.Context, account string) (int, error) {
	var n int
	if err := s.row(ctx, "SELECT COUNT(*) FROM holdfast_codes WHERE account = ?", account).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting recovery codes: %w", err)
	}
	return n, nil
}

// DropFactor is of [mfa.Records].
func (s *Store) DropFactor(ctx context.Context, account string) error {
	return s.Tx(ctx, func(tx *Store) error {
		for _, statement := range []string{
			"DELETE FROM holdfast_factors WHERE account = ?",
			"DELETE FROM holdfast_codes WHERE account = ?",
			"DELETE FROM holdfast_challenges WHERE account = ?",
		} {
			if _, err := tx.exec(ctx, statement, account); err != nil {
				return fmt.Errorf("dropping a factor: %w", err)
			}
		}
		return nil
	})
}

// EachFactor is of [mfa.Records].
func (s *Store) EachFactor(ctx context.Context, visit func(mfa.Factor) error) error {
	rows, err := s.conn.QueryContext(ctx, "SELECT account, sealed, step FROM holdfast_factors")
	if err != nil {
		return fmt.Errorf("reading factors: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var f mfa.Factor
		if err := rows.Scan(&f.Account, &f.Sealed, &f.Step); err != nil {
			return fmt.Errorf("reading factors: %w", err)
		}
		if err := visit(f); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading factors: %w", err)
	}
	return nil
}
