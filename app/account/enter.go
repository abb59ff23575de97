package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
)

// ByPassword is how somebody has shown the password; see [Entered.By].
const ByPassword = "password"

// Entered is somebody who has shown the password, and perhaps the second factor.
type Entered struct {
	Account string // key
	// Epoch is the account's: the session begins with it.
	Epoch int64
	// By is what was shown: "password", "password totp" or "password recovery
	// code". It is empty if the second factor is still to be shown: then there is
	// no session yet.
	By string
	// Challenge is the token for [Service.Answer], if By is empty.
	Challenge string
	// Device is the new value of the device cookie; see package throttle.
	Device string
}

// Enter checks login id and password. Its errors are those of login.Service.Login.
func (s *Service[S]) Enter(ctx context.Context, a login.Attempt) (Entered, error) {
	in, err := s.Login.Login(ctx, a)
	if err != nil {
		return Entered{}, err
	}
	e := Entered{Account: in.Account.Key, Epoch: in.Account.Epoch, Device: in.Device, By: ByPassword}
	on, err := s.Second.Enabled(ctx, e.Account)
	if err != nil {
		return Entered{}, err
	}
	if !on {
		return e, nil
	}
	e.By = ""
	e.Challenge, err = s.Second.Challenge(ctx, e.Account, e.Epoch)
	if err != nil {
		return Entered{}, err
	}
	return e, nil
}

// Answer checks the second factor. A loss that is waiting is cancelled: the factor is
// not lost. Its errors are those of mfa.Service.Answer; mfa.ErrDenied also if the
// account was switched off, or its password changed, since the challenge.
func (s *Service[S]) Answer(ctx context.Context, answer mfa.Answer) (Entered, error) {
	p, err := s.Second.Answer(ctx, answer)
	if err != nil {
		return Entered{}, err
	}
	a, err := s.Store.Account(ctx, p.Account)
	if errors.Is(err, login.ErrNoAccount) || err == nil && (a.Disabled || a.Epoch != p.Epoch) {
		return Entered{}, mfa.ErrDenied
	}
	if err != nil {
		return Entered{}, fmt.Errorf("finding an account: %w", err)
	}
	if err := s.keepFactor(ctx, a); err != nil {
		return Entered{}, err
	}
	return Entered{Account: p.Account, Epoch: p.Epoch, By: ByPassword + " " + string(p.By)}, nil
}

// keepFactor cancels a loss, if one is waiting.
func (s *Service[S]) keepFactor(ctx context.Context, a login.Account) error {
	if _, err := s.Store.Loss(ctx, a.Key); errors.Is(err, ErrNoLoss) {
		return nil
	}
	err := s.Store.Tx(ctx, func(tx S) error {
		dropped, err := tx.DropLoss(ctx, a.Key)
		if err != nil || !dropped {
			return err
		}
		return s.mail(ctx, tx, LossCancelled, a, a.Mail, "")
	})
	if err != nil {
		return fmt.Errorf("cancelling a loss: %w", err)
	}
	return nil
}

// StepUp checks the password of somebody who is logged in, and the second factor if
// the account has one, and returns what was shown; the session is rotated with it.
// Its errors are those of login.Service.Login and mfa.Service.Verify.
func (s *Service[S]) StepUp(ctx context.Context, who Who, pw, code string, addr netip.Addr, device string) (by string, err error) {
	a, err := s.Store.Account(ctx, who.Account())
	if err != nil {
		return "", fmt.Errorf("finding an account: %w", err)
	}
	in, err := s.Login.Login(ctx, login.Attempt{ID: string(a.ID), Password: pw, Addr: addr, Device: device})
	if err != nil {
		return "", err
	}
	if in.Account.Key != a.Key {
		return "", login.ErrDenied // the login id has moved in between
	}
	on, err := s.Second.Enabled(ctx, a.Key)
	if err != nil || !on {
		return ByPassword, err
	}
	p, err := s.Second.Verify(ctx, a.Key, code, addr)
	if err != nil {
		return "", err
	}
	return ByPassword + " " + string(p.By), nil
}

// fresh returns the account of somebody whose proof is fresh and complete.
func (s *Service[S]) fresh(ctx context.Context, who Who) (login.Account, error) {
	at, by := who.Proven()
	if age := time.Since(at); age > Fresh || age < -time.Minute {
		return login.Account{}, ErrStepUp
	}
	on, err := s.Second.Enabled(ctx, who.Account())
	if err != nil {
		return login.Account{}, err
	}
	if on && !strings.HasSuffix(by, " "+string(mfa.TOTP)) && !strings.HasSuffix(by, " "+string(mfa.Recovery)) {
		return login.Account{}, ErrStepUp
	}
	a, err := s.Store.Account(ctx, who.Account())
	if err != nil {
		return login.Account{}, fmt.Errorf("finding an account: %w", err)
	}
	return a, nil
}
