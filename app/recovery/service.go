package recovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/passpolicy"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// Defaults of the zero [Service].
const (
	// DefaultLife is how long a link is good.
	DefaultLife = 30 * time.Minute
	// DefaultDeadline is when a request is answered: far above what a store takes.
	DefaultDeadline = 250 * time.Millisecond
)

// resetPurpose is that of tokens for a new password.
const resetPurpose = "reset"

// A WeakError says that a password may not be chosen; the link is still good.
type WeakError struct{ Violations []passpolicy.Violation }

// Error names the rules.
func (e *WeakError) Error() string {
	text := "password may not be chosen:"
	for _, v := range e.Violations {
		text += " " + string(v.Code)
	}
	return text
}

// An Outcome says what came of something.
type Outcome string

// The outcomes.
const (
	Sent    Outcome = "sent"     // a mail was queued
	Unknown Outcome = "unknown"  // no account to send one for
	Enough  Outcome = "enough"   // the account was sent enough mails
	TooMany Outcome = "too many" // the network has asked too often
	Done    Outcome = "done"     // the password was reset
	Refused Outcome = "refused"  // the link was not good
)

// An Event tells what came of a request or a reset. Whoever asks for a link must
// not learn it.
type Event struct {
	Outcome Outcome
	Account string // key; empty if there is none
	Addr    netip.Addr
}

// Stats is what a service has done since the program started.
type Stats struct{ Requests, Sent, Done, Refused uint64 }

// A Service resets passwords. Store, Hasher, Throttle, ResetURL, Mail and Notice are
// needed. The fields must not change after the first use; it may be used by many
// goroutines at a time.
type Service[S Store[S]] struct {
	Store    S
	Hasher   *password.Hasher
	Throttle *throttle.Limiter
	// Policy says which passwords may be chosen; the zero value is the strict one.
	Policy passpolicy.Policy
	// ResetURL is the page of the form, from the configuration: https, or http on
	// a loopback address; without a query.
	ResetURL string
	// Mail writes the mail with the link in it, Notice the one that tells of a
	// changed password. Their address is overwritten by the stored one.
	Mail   func(a login.Account, link string) outbox.Mail
	Notice func(a login.Account) outbox.Mail
	// Life is how long a link is good; 0 means [DefaultLife].
	Life time.Duration
	// Deadline is when a request is answered; 0 means [DefaultDeadline]. One that
	// takes longer is answered at the next multiple.
	Deadline time.Duration
	// OnEvent, if not nil, hears what came of each request and reset. It must not
	// block.
	OnEvent func(Event)

	requests, sent, done, refused atomic.Uint64
}

// Stats returns the counts at this moment.
func (s *Service[S]) Stats() Stats {
	return Stats{Requests: s.requests.Load(), Sent: s.sent.Load(), Done: s.done.Load(), Refused: s.refused.Load()}
}

// Check reports why the service cannot work. It is meant for the start of a program.
func (s *Service[S]) Check() error {
	if s.Hasher == nil || s.Throttle == nil || s.Mail == nil || s.Notice == nil {
		return errors.New("password reset: hasher, throttle, mail and notice are needed")
	}
	_, err := Link(s.ResetURL, "x")
	return err
}

// Link returns the address of a page with a token. The page comes from the
// configuration and is an absolute https URL, or an http one on a loopback address,
// without user, query and fragment.
func Link(page, token string) (string, error) {
	u, err := url.Parse(page)
	if err != nil {
		return "", fmt.Errorf("page of links: %w", err)
	}
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !local):
		return "", fmt.Errorf("page of links %s: not https", page)
	case u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return "", fmt.Errorf("page of links %s: not a plain address", page)
	}
	u.RawQuery = url.Values{"token": {token}}.Encode()
	return u.String(), nil
}

// Request mails a link for a new password to the stored address of the account with
// this login id, if there is one. It returns nil in every case but three: the
// network asks too often ([throttle.TooManyError]), something of ours has failed, or
// ctx is over.
func (s *Service[S]) Request(ctx context.Context, typed string, addr netip.Addr) error {
	start := time.Now()
	s.requests.Add(1)
	err := s.request(ctx, typed, addr)
	var many *throttle.TooManyError
	if errors.As(err, &many) {
		s.tell(Event{Outcome: TooMany, Addr: addr})
		return err
	}
	deadline := s.Deadline
	if deadline <= 0 {
		deadline = DefaultDeadline
	}
	if late := Even(ctx, start, deadline); late != nil {
		return late
	}
	return err
}

// Even returns at the next multiple of the deadline after start, so that what was
// done since cannot be told by its time; or with the error of ctx.
func Even(ctx context.Context, start time.Time, deadline time.Duration) error {
	timer := time.NewTimer(deadline - time.Since(start)%deadline)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service[S]) request(ctx context.Context, typed string, addr netip.Addr) error {
	id, err := login.ParseID(typed)
	name := string(id)
	if err != nil {
		name = typed
	}
	// A bucket of its own: who hammers on the login uses up nothing here.
	ticket, err := s.Throttle.Reserve(ctx, throttle.Attempt{Name: "reset of " + name, Addr: addr})
	if err != nil {
		return err
	}
	a, err := s.Store.FindAccount(ctx, id)
	if err != nil && !errors.Is(err, login.ErrNoAccount) {
		return fmt.Errorf("finding an account: %w", err)
	}
	if ticket.Locked() {
		s.tell(Event{Outcome: Enough, Account: a.Key, Addr: addr})
		return nil
	}
	outcome, err := s.send(ctx, name, a)
	if err != nil {
		return err
	}
	s.tell(Event{Outcome: outcome, Account: a.Key, Addr: addr})
	return nil
}

// Send mails a link for a new password to the stored address of an account: what
// support staff may do. It reports what came of it, which is never told to anybody
// outside. The error wraps [login.ErrNoAccount] if there is no such account.
func (s *Service[S]) Send(ctx context.Context, account string) (Outcome, error) {
	a, err := s.Store.Account(ctx, account)
	if err != nil {
		return "", fmt.Errorf("finding an account: %w", err)
	}
	return s.send(ctx, string(a.ID), a)
}

func (s *Service[S]) send(ctx context.Context, name string, a login.Account) (Outcome, error) {
	ok, err := s.Throttle.ReserveMail(ctx, "reset of "+name)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return Enough, nil
	case a.Key == "" || a.Mail == "" || a.Disabled:
		return Unknown, nil
	}
	text, token := NewToken(resetPurpose, a.Key, a.Mail, s.life())
	link, err := Link(s.ResetURL, text)
	if err != nil {
		return "", err
	}
	m := s.Mail(a, link)
	m.To = a.Mail // and no other
	err = s.Store.Tx(ctx, func(tx S) error {
		if err := tx.PutToken(ctx, token); err != nil {
			return err
		}
		return tx.PutMail(ctx, m)
	})
	if err != nil {
		return "", fmt.Errorf("mailing a link: %w", err)
	}
	s.sent.Add(1)
	return Sent, nil
}

// Look reports whether a link is good, as an error wrapping [ErrNoToken] if not,
// and changes nothing. It is what the GET of a page calls.
func (s *Service[S]) Look(ctx context.Context, token string) error {
	_, _, err := s.look(ctx, token)
	return err
}

func (s *Service[S]) look(ctx context.Context, token string) (Token, login.Account, error) {
	t, err := s.Store.FindToken(ctx, Hash(token), resetPurpose, time.Now())
	if err != nil {
		return Token{}, login.Account{}, err
	}
	a, err := s.account(ctx, s.Store, t)
	return t, a, err
}

// account returns the account of a token, if the token still speaks of it.
func (s *Service[S]) account(ctx context.Context, accounts Accounts, t Token) (login.Account, error) {
	a, err := accounts.Account(ctx, t.Account)
	if errors.Is(err, login.ErrNoAccount) {
		return login.Account{}, ErrNoToken // closed since the mail
	}
	if err != nil {
		return login.Account{}, fmt.Errorf("finding the account of a link: %w", err)
	}
	if a.Disabled || a.Mail != t.Mail {
		return login.Account{}, ErrNoToken
	}
	return a, nil
}

// Reset spends a link and sets the password of its account. All sessions of the
// account end; its second factor stays; nobody is logged in. The error wraps
// [ErrNoToken] or gate.ErrBusy, is a [WeakError], or says that something of ours has
// failed; then nothing has changed. words are those that passpolicy.Policy.Check
// takes beside the account's login id and address.
func (s *Service[S]) Reset(ctx context.Context, token, pw string, words ...string) error {
	_, a, err := s.look(ctx, token) // nothing is hashed for a made-up link
	if err != nil {
		return s.refuse(err)
	}
	violations, err := s.Policy.Check(ctx, pw, append(words, string(a.ID), a.Mail)...)
	if err != nil {
		return fmt.Errorf("checking a password: %w", err)
	}
	if len(violations) > 0 {
		return &WeakError{violations}
	}
	hash, err := s.Hasher.Hash(ctx, pw)
	if err != nil {
		return fmt.Errorf("hashing a password: %w", err)
	}
	err = s.Store.Tx(ctx, func(tx S) error {
		// What was looked up before the hashing counts for nothing here.
		now := time.Now()
		t, err := tx.SpendToken(ctx, Hash(token), resetPurpose, now)
		if err != nil {
			return err
		}
		if a, err = s.account(ctx, tx, t); err != nil {
			return err
		}
		return s.apply(ctx, tx, a, hash, now)
	})
	if err != nil {
		return s.refuse(err)
	}
	s.done.Add(1)
	s.tell(Event{Outcome: Done, Account: a.Key})
	// If this fails the owner waits longer for the next mail.
	_ = s.Throttle.RefundMail(ctx, "reset of "+string(a.ID))
	return nil
}

// apply is the rest of the one transaction.
func (s *Service[S]) apply(ctx context.Context, tx S, a login.Account, hash string, now time.Time) error {
	if err := tx.SetPassword(ctx, a.Key, hash); err != nil {
		return err
	}
	if err := tx.DropTokens(ctx, a.Key, now); err != nil {
		return err
	}
	if _, err := tx.EndSessions(ctx, a.Key, ""); err != nil {
		return err
	}
	m := s.Notice(a)
	m.To = a.Mail
	return tx.PutMail(ctx, m)
}

func (s *Service[S]) refuse(err error) error {
	if errors.Is(err, ErrNoToken) {
		s.refused.Add(1)
		s.tell(Event{Outcome: Refused})
	}
	return err
}

func (s *Service[S]) tell(e Event) {
	if s.OnEvent != nil {
		s.OnEvent(e)
	}
}
