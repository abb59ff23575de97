package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/recovery"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// ChangePassword replaces the password of somebody who knows the present one. All
// other sessions end, links that were mailed are not good any more, and the owner is
// told. The error wraps [ErrStepUp], is one of login.Service.Login about the present
// password, or a recovery.WeakError; then nothing has changed.
func (s *Service[S]) ChangePassword(ctx context.Context, who Who, old login.Attempt, pw string, words ...string) error {
	a, err := s.fresh(ctx, who)
	if err != nil {
		return err
	}
	old.ID = string(a.ID) // whatever the form says
	in, err := s.Login.Login(ctx, old)
	if err != nil {
		return err
	}
	if in.Account.Key != a.Key {
		return login.ErrDenied
	}
	hash, err := s.choose(ctx, pw, append(words, string(a.ID), a.Mail)...)
	if err != nil {
		return err
	}
	return s.change(ctx, "changing a password", func(tx S) error {
		if err := tx.SetPassword(ctx, a.Key, hash); err != nil {
			return err
		}
		return s.settle(ctx, tx, a, who.ID(), PasswordChanged)
	})
}

// change is one transaction.
func (s *Service[S]) change(ctx context.Context, what string, do func(tx S) error) error {
	if err := s.Store.Tx(ctx, do); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// settle drops links, ends sessions but one, and tells the owner.
func (s *Service[S]) settle(ctx context.Context, tx S, a login.Account, keep string, k Kind) error {
	if err := tx.DropTokens(ctx, a.Key, time.Now()); err != nil {
		return err
	}
	if _, err := tx.EndSessions(ctx, a.Key, keep); err != nil {
		return err
	}
	return s.mail(ctx, tx, k, a, a.Mail, "")
}

// RequestMail mails a link to a new address, with which its owner confirms it, and
// tells the present one. It returns nil whether the new address has an account or
// not. The error wraps [ErrStepUp] or [ErrAddress], is a [throttle.TooManyError], or
// says that something of ours has failed.
func (s *Service[S]) RequestMail(ctx context.Context, who Who, typed string, addr netip.Addr) error {
	a, err := s.fresh(ctx, who)
	if err != nil {
		return err
	}
	return s.evenly(ctx, func() error {
		id, err := address(typed)
		if err != nil {
			return err
		}
		name := "new address of " + a.Key
		ticket, err := s.Throttle.Reserve(ctx, throttle.Attempt{Name: name, Addr: addr})
		if err != nil || ticket.Locked() {
			return err
		}
		ok, err := s.Throttle.ReserveMail(ctx, "registration of "+string(id))
		if err != nil || !ok {
			return err
		}
		other, err := s.Store.FindAccount(ctx, id)
		if err != nil && !errors.Is(err, login.ErrNoAccount) {
			return fmt.Errorf("finding an account: %w", err)
		}
		text, t := recovery.NewToken(mailPurpose, a.Key, string(id), LinkLife)
		return s.Store.Tx(ctx, func(tx S) error {
			if err := s.mail(ctx, tx, MailRequested, a, a.Mail, ""); err != nil {
				return err
			}
			if other.Key != "" {
				return s.mail(ctx, tx, MailTaken, other, other.Mail, "")
			}
			return s.mailLink(ctx, tx, MailConfirm, a, string(id), MailPage, text, t)
		})
	})
}

// ConfirmMail spends the link that was mailed to a new address: it becomes address
// and login id, all sessions end, and the old address is told. It is called by the
// POST of the page. The error wraps recovery.ErrNoToken or login.ErrTaken.
func (s *Service[S]) ConfirmMail(ctx context.Context, token string) error {
	return s.change(ctx, "changing an address", func(tx S) error {
		t, err := tx.SpendToken(ctx, recovery.Hash(token), mailPurpose, time.Now())
		if err != nil {
			return err
		}
		a, err := tx.Account(ctx, t.Account)
		if errors.Is(err, login.ErrNoAccount) || err == nil && a.Disabled {
			return recovery.ErrNoToken
		}
		if err != nil {
			return err
		}
		id, err := address(t.Mail)
		if err != nil {
			return err
		}
		if err := tx.SetAddress(ctx, a.Key, id, t.Mail); err != nil {
			return err
		}
		return s.settle(ctx, tx, a, "", MailChanged) // a has the old address
	})
}

// SetPhone sets the phone number to which support sends codes; the empty one removes
// it. The program has checked its form. The error wraps [ErrStepUp].
func (s *Service[S]) SetPhone(ctx context.Context, who Who, phone string) error {
	a, err := s.fresh(ctx, who)
	if err != nil {
		return err
	}
	return s.change(ctx, "changing a phone", func(tx S) error {
		if err := tx.SetPhone(ctx, a.Key, phone); err != nil {
			return err
		}
		return s.mail(ctx, tx, PhoneChanged, a, a.Mail, "")
	})
}

// AddFactor ends an enrolment of mfa.Service.Enroll and returns the recovery codes.
// The owner is told. The error wraps [ErrStepUp], or is one of mfa.Service.Confirm.
func (s *Service[S]) AddFactor(ctx context.Context, who Who, sealed, code string) ([]string, error) {
	a, err := s.fresh(ctx, who)
	if err != nil {
		return nil, err
	}
	codes, err := s.Second.Confirm(ctx, a.Key, sealed, code)
	if err != nil {
		return nil, err
	}
	return codes, s.mail(ctx, s.Store, FactorAdded, a, a.Mail, "")
}

// RemoveFactor removes the second factor. All other sessions end, and the owner is
// told. The error wraps [ErrStepUp].
func (s *Service[S]) RemoveFactor(ctx context.Context, who Who) error {
	a, err := s.fresh(ctx, who)
	if err != nil {
		return err
	}
	return s.change(ctx, "removing a second factor", func(tx S) error {
		if err := tx.DropFactor(ctx, a.Key); err != nil {
			return err
		}
		return s.settle(ctx, tx, a, who.ID(), FactorRemoved)
	})
}

// challenged returns the account of a challenge, at the cost of one of its tries:
// somebody who has shown the password.
func (s *Service[S]) challenged(ctx context.Context, challenge string) (login.Account, error) {
	c, err := s.Store.TryChallenge(ctx, recovery.Hash(challenge), time.Now())
	if errors.Is(err, mfa.ErrNoChallenge) {
		return login.Account{}, mfa.ErrDenied
	}
	if err != nil {
		return login.Account{}, fmt.Errorf("trying a challenge: %w", err)
	}
	a, err := s.Store.Account(ctx, c.Account)
	if errors.Is(err, login.ErrNoAccount) || err == nil && (a.Disabled || a.Epoch != c.Epoch) {
		return login.Account{}, mfa.ErrDenied
	}
	if err != nil {
		return login.Account{}, fmt.Errorf("finding an account: %w", err)
	}
	return a, nil
}

// Lose starts the wait after which a lost second factor can be removed, for somebody
// who has shown the password; challenge is the token from [Service.Enter]. It returns
// the time at which the wait is over, of the present one if there is one already. The
// error wraps mfa.ErrDenied if the challenge is not good.
func (s *Service[S]) Lose(ctx context.Context, challenge string) (due time.Time, err error) {
	a, err := s.challenged(ctx, challenge)
	if err != nil {
		return time.Time{}, err
	}
	text, t := recovery.NewToken(cancelPurpose, a.Key, a.Mail, 30*24*time.Hour)
	due = time.Now().Add(LossDelay)
	err = s.change(ctx, "noting a loss", func(tx S) error {
		added, err := tx.PutLoss(ctx, a.Key, due)
		if err != nil {
			return err
		}
		if !added {
			due, err = tx.Loss(ctx, a.Key)
			return err
		}
		return s.mailLink(ctx, tx, LossStarted, a, a.Mail, CancelPage, text, t)
	})
	return due, err
}

// KeepFactor spends the link that cancels a loss. It is called by the POST of the
// page. The error wraps recovery.ErrNoToken.
func (s *Service[S]) KeepFactor(ctx context.Context, token string) error {
	return s.change(ctx, "cancelling a loss", func(tx S) error {
		t, err := tx.SpendToken(ctx, recovery.Hash(token), cancelPurpose, time.Now())
		if err != nil {
			return err
		}
		a, err := tx.Account(ctx, t.Account)
		if errors.Is(err, login.ErrNoAccount) {
			return recovery.ErrNoToken
		}
		if err != nil {
			return err
		}
		dropped, err := tx.DropLoss(ctx, a.Key)
		if err != nil || !dropped {
			return err
		}
		return s.mail(ctx, tx, LossCancelled, a, a.Mail, "")
	})
}

// DropLost removes a lost second factor when the wait is over, for somebody who has
// shown the password again. All sessions end; the next login needs the password
// alone. The error wraps mfa.ErrDenied if the challenge is not good, [ErrNoLoss] or
// [ErrWait].
func (s *Service[S]) DropLost(ctx context.Context, challenge string) error {
	a, err := s.challenged(ctx, challenge)
	if err != nil {
		return err
	}
	return s.change(ctx, "removing a lost factor", func(tx S) error {
		due, err := tx.Loss(ctx, a.Key)
		if err != nil {
			return err
		}
		if time.Now().Before(due) {
			return ErrWait
		}
		dropped, err := tx.DropLoss(ctx, a.Key)
		if err != nil {
			return err
		}
		if !dropped {
			return ErrNoLoss // cancelled meanwhile
		}
		if err := tx.DropFactor(ctx, a.Key); err != nil {
			return err
		}
		return s.settle(ctx, tx, a, "", LossDone)
	})
}
