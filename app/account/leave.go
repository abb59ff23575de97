package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
)

// An Export is what these packages store of a person, without secrets; a program
// adds its own data.
type Export struct {
	LoginID       string     `json:"login_id"`
	Mail          string     `json:"mail"`
	Phone         string     `json:"phone,omitempty"`
	HasPassword   bool       `json:"has_password"`
	SecondFactor  bool       `json:"second_factor"`
	RecoveryCodes int        `json:"recovery_codes_left"`
	LossDue       *time.Time `json:"second_factor_removed_from,omitempty"`
}

// Export returns what is stored of somebody. The error wraps [ErrStepUp].
func (s *Service[S]) Export(ctx context.Context, who Who) (Export, error) {
	a, err := s.fresh(ctx, who)
	if err != nil {
		return Export{}, err
	}
	e := Export{LoginID: string(a.ID), Mail: a.Mail, HasPassword: a.Password != ""}
	var errs [4]error
	e.Phone, errs[0] = s.Store.Phone(ctx, a.Key)
	e.SecondFactor, errs[1] = s.Second.Enabled(ctx, a.Key)
	e.RecoveryCodes, errs[2] = s.Store.CountCodes(ctx, a.Key)
	due, err := s.Store.Loss(ctx, a.Key)
	switch {
	case err == nil:
		e.LossDue = &due
	case !errors.Is(err, ErrNoLoss):
		errs[3] = err
	}
	if err := errors.Join(errs[:]...); err != nil {
		return Export{}, fmt.Errorf("exporting: %w", err)
	}
	return e, nil
}

// Close removes the account and everything that these packages store of it, in one
// transaction with what the program removes in also (nil for nothing); a last mail
// says so. What staff did in cases stays on record, under the key. The error wraps
// [ErrStepUp].
func (s *Service[S]) Close(ctx context.Context, who Who, also func(tx S, a login.Account) error) error {
	a, err := s.fresh(ctx, who)
	if err != nil {
		return err
	}
	return s.change(ctx, "closing an account", func(tx S) error {
		if also != nil {
			if err := also(tx, a); err != nil {
				return err
			}
		}
		if err := tx.DropFactor(ctx, a.Key); err != nil {
			return err
		}
		if _, err := tx.DropLoss(ctx, a.Key); err != nil {
			return err
		}
		if err := tx.SetPhone(ctx, a.Key, ""); err != nil {
			return err
		}
		if err := s.settle(ctx, tx, a, "", Closed); err != nil {
			return err
		}
		return tx.DropAccount(ctx, a.Key)
	})
}
