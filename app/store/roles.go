package store

import (
	"context"
	"fmt"

	"github.com/holdfast-security/holdfast/app/access"
)

// Roles is of [access.Directory].
func (s *Store) Roles(ctx context.Context, account string) ([]access.Role, error) {
	rows, err := s.conn.QueryContext(ctx, s.placeholders("SELECT role FROM holdfast_roles WHERE account = ? ORDER BY role"), account)
	if err != nil {
		return nil, fmt.Errorf("reading roles: %w", err)
	}
	defer rows.Close()
	var all []access.Role
	for rows.Next() {
		var r string
		if err := rows.Scan(&r); err != nil {
			return nil, fmt.Errorf("reading roles: %w", err)
		}
		all = append(all, access.Role(r))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading roles: %w", err)
	}
	return all, nil
}

// SetRoles is of [access.Directory].
func (s *Store) SetRoles(ctx context.Context, account string, roles []access.Role) error {
	if err := access.CheckRoles(roles); err != nil {
		return err
	}
	return s.Tx(ctx, func(tx *Store) error {
		// First, for it makes others wait who set the roles of the same account.
		n, err := tx.exec(ctx, "UPDATE holdfast_accounts SET epoch = epoch + 1 WHERE account = ?", account)
		if err := changedOne(n, err, "setting roles"); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, "DELETE FROM holdfast_roles WHERE account = ?", account); err != nil {
			return fmt.Errorf("setting roles: %w", err)
		}
		for _, r := range roles {
			if _, err := tx.exec(ctx, "INSERT INTO holdfast_roles (account, role) VALUES (?, ?)", account, string(r)); err != nil {
				return fmt.Errorf("setting roles: %w", err)
			}
		}
		return nil
	})
}
