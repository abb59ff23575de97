package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// devicePurpose is that of links that make a browser a trusted one.
const devicePurpose = "device"

// mailLink queues a mail for the owner of an account whose attempts are used up.
// It counts the mail for names without an account too.
func (s *Service) mailLink(ctx context.Context, v *verdict) error {
	if s.Links == nil || s.LinkMail == nil {
		return nil
	}
	ok, err := s.Throttle.ReserveMail(ctx, v.name)
	if err != nil || !ok || v.account.Key == "" || v.account.Mail == "" || v.account.Disabled {
		return err
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	token := base64.RawURLEncoding.EncodeToString(secret)
	m := s.LinkMail(v.account, token)
	m.To = v.account.Mail // and no other
	life := s.LinkLife
	if life <= 0 {
		life = DefaultLinkLife
	}
	l := Link{Hash: sha256.Sum256([]byte(token)), Purpose: devicePurpose, Account: v.account.Key, Expires: time.Now().Add(life)}
	if err := s.Links.PutLink(ctx, l, m); err != nil {
		return fmt.Errorf("mailing a link: %w", err)
	}
	v.event.Mailed = true
	return nil
}

// OpenLink spends a mailed link and returns the value of the device cookie that
// makes this browser a trusted one; device is its present value or empty. It is
// called by the POST of the page that the link shows, never by the GET of the link
// itself. It logs nobody in. The error wraps [ErrNoLink] if the token is not good
// or not good any more.
func (s *Service) OpenLink(ctx context.Context, token, device string) (cookie string, err error) {
	if s.Links == nil {
		return "", ErrNoLink
	}
	key, err := s.Links.SpendLink(ctx, sha256.Sum256([]byte(token)), devicePurpose, time.Now())
	if err != nil {
		return "", err
	}
	a, err := s.Accounts.Account(ctx, key)
	if errors.Is(err, ErrNoAccount) {
		return "", ErrNoLink // closed since the mail
	}
	if err != nil {
		return "", fmt.Errorf("finding the account of a link: %w", err)
	}
	// If this fails the owner has what the link is for, and waits longer for the
	// next one.
	_ = s.Throttle.RefundMail(ctx, string(a.ID))
	return s.Throttle.Trusted(device, string(a.ID)), nil
}
