package support

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
)

// ErrNoCase says that there is no such case of this member of staff, or that none of
// its codes is good.
var ErrNoCase = errors.New("no such case")

// An Action is something that a program lets staff do in a confirmed case, such as
// "read to-dos"; at most 64 bytes, no comma.
type Action string

// A Case is one matter of one account, handled by one member of staff.
type Case struct {
	ID      string // random; at most 64 bytes
	Staff   string // key of the account of the one who handles it
	Account string // key of the account that it is about
	Actions []Action
	Opened  time.Time
	Code    [32]byte // keyed hash of the code that was sent last
	Tries   int      // that are left for it
	Expires time.Time
	// Until is how long the actions are open; the zero time if no code was
	// confirmed.
	Until time.Time
}

// Cases keeps cases. Implementations are in app/store.
type Cases interface {
	// AddCase adds a case.
	AddCase(ctx context.Context, c Case) error
	// Case returns the case with this id if it is of this member of staff. The
	// error wraps [ErrNoCase] if there is none.
	Case(ctx context.Context, id, staff string) (Case, error)
}

// Codes keeps the codes of cases.
type Codes interface {
	// SetCaseCode puts a new code in place of any earlier one, and closes the
	// actions. The error wraps [ErrNoCase] if there is no such case.
	SetCaseCode(ctx context.Context, id, staff string, code [32]byte, tries int, expires time.Time) error
	// TryCaseCode takes one try and returns the case. The error wraps [ErrNoCase]
	// if there is no code that is good at the time now.
	TryCaseCode(ctx context.Context, id, staff string, now time.Time) (Case, error)
	// SpendCaseCode removes the code if it still is this one and opens the actions
	// until the given time, in one statement, and reports whether it did. Of two
	// calls for one code one succeeds.
	SpendCaseCode(ctx context.Context, id, staff string, code [32]byte, until time.Time) (bool, error)
}

// An Act is something that a member of staff did or was refused.
type Act struct {
	Time    time.Time
	Staff   string // key
	Case    string // ID
	Account string // key
	What    string // one of the constants below, or an action; at most 64 bytes
	Detail  string // at most [MaxDetail] bytes
}

// What acts are called, beside the program's actions.
const (
	Opened        = "opened"
	ResetSent     = "reset sent"
	CodeSent      = "code sent"
	CodeNotSent   = "code not sent"
	CodeConfirmed = "code confirmed"
	CodeRefused   = "code refused"
	ActionRefused = "action refused"
)

// MaxDetail bounds the text of an act in bytes.
const MaxDetail = 1000

// A Log keeps acts.
type Log interface {
	// PutAct adds an act.
	PutAct(ctx context.Context, a Act) error
	// Acts returns the acts of a case, oldest first.
	Acts(ctx context.Context, id string) ([]Act, error)
}

// A Contacts says how somebody is reached. It changes nothing.
type Contacts interface {
	Account(ctx context.Context, key string) (login.Account, error) // see [login.Accounts]
	// Phone returns the stored phone number of an account, or "" if there is none.
	Phone(ctx context.Context, account string) (string, error)
}

// A Store keeps everything that a [Service] needs. Implementations are in
// app/store. S is the type of the store itself, inside a transaction too.
type Store[S any] interface {
	Cases
	Codes
	Log
	Contacts
	// PutMail queues a mail; see [outbox.Queue].
	PutMail(ctx context.Context, m outbox.Mail) error
	// Tx runs fn in one transaction: all of it happens or nothing.
	Tx(ctx context.Context, fn func(tx S) error) error
}
