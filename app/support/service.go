package support

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/recovery"
)

// Sentinel errors.
var (
	// ErrDenied says that a code is wrong, or an action not open.
	ErrDenied = errors.New("refused")
	// ErrEnough says that no more codes are sent for a case.
	ErrEnough = errors.New("enough codes were sent")
	// ErrNoContact says that an account has no address or phone of this kind.
	ErrNoContact = errors.New("no such contact")
	// ErrDetail says that a reason or an action cannot be recorded.
	ErrDetail = errors.New("unusable text")
)

// Bounds of codes and cases.
const (
	CodeLife  = 10 * time.Minute // ASVS 6.5.5
	CodeTries = 5
	MaxCodes  = 3 // sent for one case
	// OpenLife is how long a confirmed code opens the case's actions.
	OpenLife = 15 * time.Minute

	codeDigits  = 8
	codePurpose = "support codes"
)

// A Channel is a way to reach somebody.
type Channel string

// The channels.
const (
	Mail Channel = "mail"
	SMS  Channel = "sms"
)

// A Sender sends a short text to a phone. Package twilio has one.
type Sender interface {
	Send(ctx context.Context, phone, text string) error
}

// A Resetter mails a link for a new password to the stored address of an account;
// recovery.Service is one.
type Resetter interface {
	Send(ctx context.Context, account string) (recovery.Outcome, error)
}

// A Service is the desk. Store, Keys, Program and Actions are needed. The fields must
// not change after the first use; it may be used by many goroutines at a time.
type Service[S Store[S]] struct {
	Store S
	Keys  *keyring.Ring
	// Resets mails links; without it SendReset fails.
	Resets Resetter
	// SMS sends to phones; without it codes go by mail only.
	SMS Sender
	// Program is the name that the text of a code shows.
	Program string
	// Actions are those that a case may name.
	Actions []Action
	// Text writes the message with the code in it; nil means the English one.
	Text func(program, code string) string
}

// Open opens a case about an account. The reason is recorded; it is one line. The
// error wraps [ErrDetail] if an action is not one of the program's, and
// login.ErrNoAccount if there is no such account.
func (s *Service[S]) Open(ctx context.Context, staff, account, reason string, actions ...Action) (id string, err error) {
	if len(reason) > MaxDetail || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl) {
		return "", fmt.Errorf("reason: %w", ErrDetail)
	}
	for _, a := range actions {
		if !slices.Contains(s.Actions, a) {
			return "", fmt.Errorf("action %q: %w", a, ErrDetail)
		}
	}
	a, err := s.Store.Account(ctx, account)
	if err != nil {
		return "", fmt.Errorf("opening a case: %w", err)
	}
	c := Case{ID: rand.Text(), Staff: staff, Account: a.Key, Actions: actions, Opened: time.Now()}
	err = s.Store.Tx(ctx, func(tx S) error {
		if err := tx.AddCase(ctx, c); err != nil {
			return err
		}
		return tx.PutAct(ctx, act(c, Opened, reason))
	})
	if err != nil {
		return "", fmt.Errorf("opening a case: %w", err)
	}
	return c.ID, nil
}

// SendReset mails a link for a new password to the account's stored address. That
// is the owner's to use: staff see neither the link nor the address.
func (s *Service[S]) SendReset(ctx context.Context, staff, id string) error {
	c, err := s.Store.Case(ctx, id, staff)
	if err != nil {
		return err
	}
	if s.Resets == nil {
		return fmt.Errorf("sending a reset: %w", ErrNoContact)
	}
	// Recorded first: a record of a mail that was not sent is better than a mail
	// without a record.
	if err := s.Store.PutAct(ctx, act(c, ResetSent, "")); err != nil {
		return err
	}
	outcome, err := s.Resets.Send(ctx, c.Account)
	if err != nil {
		return fmt.Errorf("sending a reset: %w", err)
	}
	switch outcome {
	case recovery.Enough:
		return ErrEnough
	case recovery.Unknown:
		return ErrNoContact
	}
	return nil
}

// SendCode sends a fresh code to the account's stored address or phone. An earlier
// one is not good any more. The error wraps [ErrNoCase], [ErrNoContact] or
// [ErrEnough], or says that the message could not be sent.
func (s *Service[S]) SendCode(ctx context.Context, staff, id string, by Channel) error {
	c, err := s.Store.Case(ctx, id, staff)
	if err != nil {
		return err
	}
	to, err := s.contact(ctx, c.Account, by)
	if err != nil {
		return err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(100_000_000))
	if err != nil {
		return fmt.Errorf("making a code: %w", err)
	}
	code := fmt.Sprintf("%0*d", codeDigits, n)
	text := s.text(code[:4] + " " + code[4:])
	err = s.Store.Tx(ctx, func(tx S) error {
		// The row of the case is locked by this, so that codes are counted one
		// after the other.
		err := tx.SetCaseCode(ctx, id, staff, s.hash(s.Keys.Current(codePurpose), c, code), CodeTries, time.Now().Add(CodeLife))
		if err != nil {
			return err
		}
		acts, err := tx.Acts(ctx, id)
		if err != nil {
			return err
		}
		sent := 0
		for _, a := range acts {
			if a.What == CodeSent {
				sent++
			}
		}
		if sent >= MaxCodes {
			return ErrEnough
		}
		if err := tx.PutAct(ctx, act(c, CodeSent, string(by))); err != nil {
			return err
		}
		if by != Mail {
			return nil
		}
		return tx.PutMail(ctx, outbox.Mail{To: to, Subject: "Your call with " + s.Program, Text: text})
	})
	if err != nil {
		return fmt.Errorf("sending a code: %w", err)
	}
	if by != SMS {
		return nil
	}
	if err := s.SMS.Send(ctx, to, text); err != nil {
		noted := s.Store.PutAct(context.WithoutCancel(ctx), act(c, CodeNotSent, string(by)))
		return fmt.Errorf("sending a code: %w", errors.Join(err, noted))
	}
	return nil
}

// contact is where a code goes: to what is stored, and nowhere else.
func (s *Service[S]) contact(ctx context.Context, account string, by Channel) (string, error) {
	to := ""
	switch {
	case by == Mail:
		a, err := s.Store.Account(ctx, account)
		if err != nil {
			return "", fmt.Errorf("finding an account: %w", err)
		}
		to = a.Mail
	case by == SMS && s.SMS != nil:
		phone, err := s.Store.Phone(ctx, account)
		if err != nil {
			return "", fmt.Errorf("finding a phone: %w", err)
		}
		to = phone
	}
	if to == "" {
		return "", fmt.Errorf("by %s: %w", by, ErrNoContact)
	}
	return to, nil
}

// text says what the code is for, since the one who asks for it may be a swindler.
func (s *Service[S]) text(code string) string {
	if s.Text != nil {
		return s.Text(s.Program, code)
	}
	return code + " is the code for your call with the support of " + s.Program +
		". Read it out only if you have called us yourself. It does not log in, and nobody will ask you for a password."
}

// Confirm checks the code that the caller has read out, and opens the actions of the
// case for [OpenLife]. The error wraps [ErrDenied] if the code is wrong, not the
// latest, used, expired, of another case or another member of staff.
func (s *Service[S]) Confirm(ctx context.Context, staff, id, code string) error {
	now := time.Now()
	c, err := s.Store.TryCaseCode(ctx, id, staff, now)
	if errors.Is(err, ErrNoCase) {
		return s.refuse(ctx, staff, id, CodeRefused, "no code")
	}
	if err != nil {
		return fmt.Errorf("confirming a code: %w", err)
	}
	typed := strings.NewReplacer(" ", "", "-", "").Replace(code)
	match := false
	for _, key := range s.Keys.Keys(codePurpose) { // the ring may have rotated since
		h := s.hash(key, c, typed)
		match = hmac.Equal(h[:], c.Code[:]) || match
	}
	if !match {
		return s.refuse(ctx, staff, id, CodeRefused, "wrong")
	}
	err = s.Store.Tx(ctx, func(tx S) error {
		spent, err := tx.SpendCaseCode(ctx, id, staff, c.Code, now.Add(OpenLife))
		if err != nil {
			return err
		}
		if !spent {
			return ErrDenied // somebody else was first
		}
		return tx.PutAct(ctx, act(c, CodeConfirmed, ""))
	})
	if err != nil {
		return fmt.Errorf("confirming a code: %w", err)
	}
	return nil
}

// Allow reports whether an action is open in a case, records it and returns the key
// of the account that it may be done to. The error wraps [ErrDenied] if the case does
// not name the action, no code was confirmed, or too long ago, and if the case is
// another one's.
func (s *Service[S]) Allow(ctx context.Context, staff, id string, action Action) (account string, err error) {
	c, err := s.Store.Case(ctx, id, staff)
	if errors.Is(err, ErrNoCase) {
		return "", ErrDenied
	}
	if err != nil {
		return "", fmt.Errorf("allowing %s: %w", action, err)
	}
	if !slices.Contains(c.Actions, action) || !slices.Contains(s.Actions, action) || !time.Now().Before(c.Until) {
		return "", s.refuse(ctx, staff, id, ActionRefused, "")
	}
	if err := s.Store.PutAct(ctx, act(c, string(action), "")); err != nil {
		return "", fmt.Errorf("allowing %s: %w", action, err)
	}
	return c.Account, nil
}

// Acts returns what was done in a case, oldest first.
func (s *Service[S]) Acts(ctx context.Context, staff, id string) ([]Act, error) {
	if _, err := s.Store.Case(ctx, id, staff); err != nil {
		return nil, err
	}
	return s.Store.Acts(ctx, id)
}

// refuse records a refusal in the case, if there is one.
func (s *Service[S]) refuse(ctx context.Context, staff, id, what, detail string) error {
	c, err := s.Store.Case(ctx, id, staff)
	if errors.Is(err, ErrNoCase) {
		return ErrDenied
	}
	if err == nil {
		err = s.Store.PutAct(ctx, act(c, what, detail))
	}
	if err != nil {
		return fmt.Errorf("recording a refusal: %w", err)
	}
	return ErrDenied
}

// hash binds a code to its case and its member of staff.
func (s *Service[S]) hash(key keyring.Key, c Case, code string) [32]byte {
	mac := hmac.New(sha256.New, key.Bytes[:])
	fmt.Fprintf(mac, "%d %s %d %s %s", len(c.ID), c.ID, len(c.Staff), c.Staff, code)
	return [32]byte(mac.Sum(nil))
}

func act(c Case, what, detail string) Act {
	return Act{Time: time.Now(), Staff: c.Staff, Case: c.ID, Account: c.Account, What: what, Detail: detail}
}
