// Package outbox lets mail wait in the program's own database until it is
// delivered, so that a request neither waits for a mail server nor shows by its
// duration whether a mail goes out, and so that a mail and the change it speaks of
// are stored in one transaction (guide 4.3 and 4.9).
//
// Packages that have something to say put a [Mail] into a [Queue], the program
// runs [Deliver] at times with its own way of sending:
//
//	for range time.Tick(5 * time.Second) {
//		sent, err := outbox.Deliver(ctx, store, send, 20)
//	}
//
// A mail is leased while it is being sent, so several processes may deliver from
// one queue. If sending fails, the mail stays and is tried again after a growing
// pause, [MaxTries] times; if the program dies after sending and before noting it,
// the mail goes out twice: twice rather than never.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a mail and its delivery.
const (
	MaxTries   = 10
	MaxSubject = 200     // bytes
	MaxText    = 1 << 16 // bytes

	lease = 2 * time.Minute
)

// ErrMail says that a mail can not be sent as it is.
var ErrMail = errors.New("unusable mail")

// A Mail is a plain text to one address.
type Mail struct {
	To      string // one bare address, such as anna@example.org
	Subject string // one line
	Text    string
}

// Check reports why a mail can not be sent, as an error wrapping [ErrMail]: an
// address that is none or holds a line break, a subject of several lines, a text
// that is too long.
func (m Mail) Check() error {
	a, err := mail.ParseAddress(m.To)
	switch {
	case err != nil || a.Address != m.To || a.Name != "":
		return fmt.Errorf("address: %w", ErrMail)
	case len(m.Subject) > MaxSubject || !utf8.ValidString(m.Subject) || strings.ContainsFunc(m.Subject, control):
		return fmt.Errorf("subject: %w", ErrMail)
	case len(m.Text) > MaxText || !utf8.ValidString(m.Text) || strings.ContainsRune(m.Text, 0):
		return fmt.Errorf("text: %w", ErrMail)
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == '\u2028' || r == '\u2029' }

// A Queued mail waits for its delivery.
type Queued struct {
	Mail
	ID    string // given by the queue
	Tries int    // how often sending has begun, this time included
}

// A Queue keeps mails. Implementations are in app/store.
type Queue interface {
	// PutMail adds a mail that passes [Mail.Check].
	PutMail(ctx context.Context, m Mail) error
	// LeaseMail returns the oldest mail that is not leased at the time now,
	// counts the try and leases it until the given time. It returns false if
	// there is none. No two callers get the same mail within its lease.
	LeaseMail(ctx context.Context, now, until time.Time) (Queued, bool, error)
	// DeferMail moves the end of the lease.
	DeferMail(ctx context.Context, id string, until time.Time) error
	// DropMail removes a mail. An unknown id is no error.
	DropMail(ctx context.Context, id string) error
}

// A Sender hands one mail to a mail server, or says why it could not.
type Sender func(ctx context.Context, m Mail) error

// Deliver sends what waits, at most limit mails, and returns how many went out.
// The error joins those of the mails that did not; they are tried again later,
// or dropped after [MaxTries].
func Deliver(ctx context.Context, q Queue, send Sender, limit int) (sent int, err error) {
	var failed []error
	for range limit {
		now := time.Now()
		m, ok, err := q.LeaseMail(ctx, now, now.Add(lease))
		if err != nil {
			return sent, errors.Join(append(failed, err)...)
		}
		if !ok {
			break
		}
		if err := send(ctx, m.Mail); err != nil {
			failed = append(failed, fmt.Errorf("mail %s, try %d: %w", m.ID, m.Tries, err))
			if m.Tries < MaxTries {
				pause := time.Minute << min(m.Tries, 8)
				err = q.DeferMail(ctx, m.ID, time.Now().Add(pause))
			} else {
				err = q.DropMail(ctx, m.ID)
			}
			if err != nil {
				failed = append(failed, err)
			}
			continue
		}
		sent++
		if err := q.DropMail(ctx, m.ID); err != nil {
			failed = append(failed, err)
		}
	}
	return sent, errors.Join(failed...)
}
