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
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/passpolicy"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/recovery"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// Sentinel errors.
var (
	// ErrStepUp says that the proof of a session is not fresh, or lacks the second
	// factor.
	ErrStepUp = errors.New("a fresh proof is needed")
	// ErrAddress says that a text is no mail address that could be a login id.
	ErrAddress = errors.New("unusable mail address")
	// ErrWait says that the time of a loss is not over.
	ErrWait = errors.New("the time is not over")
)

// Times.
const (
	// Fresh is how long a proof counts for changes of credentials.
	Fresh = 10 * time.Minute
	// LossDelay is how long a lost second factor stays.
	LossDelay = 72 * time.Hour
	// LinkLife is how long links of registrations and new addresses are good.
	LinkLife = time.Hour
)

// Pages of links, below [Service.BaseURL].
const (
	RegisterPage = "/register/finish"
	MailPage     = "/mail/confirm"
	CancelPage   = "/second-factor/keep"
)

// Purposes of tokens.
const (
	registerPurpose = "register"
	mailPurpose     = "mail"
	cancelPurpose   = "cancel loss"
)

// Who is somebody that is logged in; session.Session is one.
type Who interface {
	Account() string // key
	ID() string      // of the session
	// Proven returns when the person last proved who they are, and by what: see
	// [Service.StepUp].
	Proven() (at time.Time, by string)
}

// A Service is what people do with their accounts. Store, Login, Second, Hasher,
// Throttle, Program and BaseURL are needed. The fields must not change after the
// first use; it may be used by many goroutines at a time.
type Service[S Store[S]] struct {
	Store    S
	Login    *login.Service
	Second   *mfa.Service[S]
	Hasher   *password.Hasher
	Throttle *throttle.Limiter
	// Policy says which passwords may be chosen; the zero value is the strict one.
	Policy passpolicy.Policy
	// Program is the name that mails show.
	Program string
	// BaseURL is where the pages of links are, from the configuration; https, or
	// http on a loopback address.
	BaseURL string
	// Write writes the mails; nil means [English]. The address is overwritten.
	Write func(k Kind, a login.Account, link string) outbox.Mail
	// Deadline is when Register and RequestMail are answered; 0 means
	// recovery.DefaultDeadline.
	Deadline time.Duration
	// OnEvent, if not nil, hears of each mail about an account; it must not block.
	// The key is empty for an address without an account.
	OnEvent func(k Kind, account string)
}

// Check reports why the service cannot work. It is meant for the start of a program.
func (s *Service[S]) Check() error {
	if s.Login == nil || s.Second == nil || s.Hasher == nil || s.Throttle == nil || s.Program == "" {
		return errors.New("accounts: login, second factor, hasher, throttle and a name are needed")
	}
	_, err := s.link(RegisterPage, "x")
	return err
}

func (s *Service[S]) link(page, token string) (string, error) {
	return recovery.Link(strings.TrimRight(s.BaseURL, "/")+page, token)
}

// mail writes a mail and queues it in a transaction.
func (s *Service[S]) mail(ctx context.Context, tx S, k Kind, a login.Account, to, link string) error {
	write := s.Write
	if write == nil {
		write = English(s.Program)
	}
	m := write(k, a, link)
	m.To = to // and no other
	if s.OnEvent != nil {
		s.OnEvent(k, a.Key)
	}
	if to == "" {
		return nil // an account without an address
	}
	return tx.PutMail(ctx, m)
}

// mailLink stores a token and queues the mail with its link, in a transaction.
func (s *Service[S]) mailLink(ctx context.Context, tx S, k Kind, a login.Account, to, page, text string, t recovery.Token) error {
	link, err := s.link(page, text)
	if err != nil {
		return err
	}
	if err := tx.PutToken(ctx, t); err != nil {
		return err
	}
	return s.mail(ctx, tx, k, a, to, link)
}

// evenly answers at the deadline, whatever was done.
func (s *Service[S]) evenly(ctx context.Context, do func() error) error {
	start := time.Now()
	err := do()
	var many *throttle.TooManyError
	if errors.As(err, &many) || errors.Is(err, ErrAddress) {
		return err // does not depend on what is stored
	}
	deadline := s.Deadline
	if deadline <= 0 {
		deadline = recovery.DefaultDeadline
	}
	if late := recovery.Even(ctx, start, deadline); late != nil {
		return late
	}
	return err
}

// address returns the login id of a mail address.
func address(typed string) (login.ID, error) {
	id, err := login.ParseID(strings.TrimSpace(typed))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrAddress, err)
	}
	if err := (outbox.Mail{To: string(id)}).Check(); err != nil {
		return "", fmt.Errorf("%w: %w", ErrAddress, err)
	}
	return id, nil
}

// Register mails a link with which the owner of an address opens an account. It
// returns nil whether the address has an account or not. The error wraps
// [ErrAddress], is a [throttle.TooManyError], or says that something of ours has
// failed.
func (s *Service[S]) Register(ctx context.Context, typed string, addr netip.Addr) error {
	return s.evenly(ctx, func() error {
		id, err := address(typed)
		if err != nil {
			return err
		}
		name := "registration of " + string(id)
		ticket, err := s.Throttle.Reserve(ctx, throttle.Attempt{Name: name, Addr: addr})
		if err != nil || ticket.Locked() {
			return err
		}
		ok, err := s.Throttle.ReserveMail(ctx, name)
		if err != nil || !ok {
			return err
		}
		a, err := s.Store.FindAccount(ctx, id)
		switch {
		case errors.Is(err, login.ErrNoAccount):
			text, t := recovery.NewToken(registerPurpose, "", string(id), LinkLife)
			return s.Store.Tx(ctx, func(tx S) error {
				return s.mailLink(ctx, tx, Registration, login.Account{}, string(id), RegisterPage, text, t)
			})
		case err != nil:
			return fmt.Errorf("finding an account: %w", err)
		}
		return s.Store.Tx(ctx, func(tx S) error { return s.mail(ctx, tx, Registered, a, a.Mail, "") })
	})
}

// LookRegister reports whether the link of a registration is good, as an error
// wrapping recovery.ErrNoToken if not, and changes nothing.
func (s *Service[S]) LookRegister(ctx context.Context, token string) error {
	_, err := s.Store.FindToken(ctx, recovery.Hash(token), registerPurpose, time.Now())
	return err
}

// Finish spends the link of a registration and opens the account with this password.
// The error wraps recovery.ErrNoToken, login.ErrTaken (the address has got an account
// since) or gate.ErrBusy, or is a recovery.WeakError; then nothing has changed.
func (s *Service[S]) Finish(ctx context.Context, token, pw string, words ...string) (login.Account, error) {
	t, err := s.Store.FindToken(ctx, recovery.Hash(token), registerPurpose, time.Now())
	if err != nil {
		return login.Account{}, err
	}
	hash, err := s.choose(ctx, pw, append(words, t.Mail)...)
	if err != nil {
		return login.Account{}, err
	}
	id, err := address(t.Mail)
	if err != nil {
		return login.Account{}, err
	}
	a := login.NewAccount(id, t.Mail, hash)
	err = s.Store.Tx(ctx, func(tx S) error {
		if _, err := tx.SpendToken(ctx, recovery.Hash(token), registerPurpose, time.Now()); err != nil {
			return err
		}
		return tx.AddAccount(ctx, a)
	})
	if err != nil {
		return login.Account{}, fmt.Errorf("opening an account: %w", err)
	}
	// Only the owner of the address can use the link, and may soon need another
	// mail; if this fails they wait for it.
	_ = s.Throttle.RefundMail(ctx, "registration of "+string(id))
	return a, nil
}

// choose checks and hashes a new password.
func (s *Service[S]) choose(ctx context.Context, pw string, words ...string) (string, error) {
	violations, err := s.Policy.Check(ctx, pw, append(words, s.Program)...)
	if err != nil {
		return "", fmt.Errorf("checking a password: %w", err)
	}
	if len(violations) > 0 {
		return "", &recovery.WeakError{Violations: violations}
	}
	hash, err := s.Hasher.Hash(ctx, pw)
	if err != nil {
		return "", fmt.Errorf("hashing a password: %w", err)
	}
	return hash, nil
}

// Find returns the key of the account with this login id, for the search of support
// staff. The error wraps login.ErrNoAccount. Who may search is decided before.
func (s *Service[S]) Find(ctx context.Context, typed string) (key string, err error) {
	id, err := login.ParseID(strings.TrimSpace(typed))
	if err != nil {
		return "", login.ErrNoAccount
	}
	a, err := s.Store.FindAccount(ctx, id)
	return a.Key, err
}
