package login

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/holdfast-security/holdfast/app/outbox"
)

// Sentinel errors of the interfaces below.
var (
	// ErrNoAccount says that there is no such account.
	ErrNoAccount = errors.New("no such account")
	// ErrTaken says that another account has this login id.
	ErrTaken = errors.New("login id is taken")
	// ErrNoLink says that a mailed link was never made, was used, or has expired.
	ErrNoLink = errors.New("no such link")
)

// An Account is what the login needs to know of a person.
type Account struct {
	Key      string // never changes and says nothing about the person; at most 64 bytes
	ID       ID     // what the person types; unique
	Mail     string // the only address that mail goes to; empty if there is none
	Password string // the stored hash; empty if the account has no password
	Disabled bool   // nobody logs in to it
	// Epoch grows with each change of the password. A session that began at an
	// older epoch has ended.
	Epoch int64
}

// NewAccount returns an account with a fresh random key. The id comes from
// [ParseID], the hash from package password.
func NewAccount(id ID, mail, hash string) Account {
	return Account{Key: rand.Text(), ID: id, Mail: mail, Password: hash}
}

// Accounts is what [Service] needs of a store. Implementations are in app/store.
type Accounts interface {
	// FindAccount returns the account with this id, compared byte by byte. The
	// error wraps [ErrNoAccount] if there is none.
	FindAccount(ctx context.Context, id ID) (Account, error)
	// Account returns the account with this key, or an error wrapping
	// [ErrNoAccount].
	Account(ctx context.Context, key string) (Account, error)
	// UpgradePassword replaces the stored hash if it still is old, in one step,
	// and reports whether it was. The epoch stays: the password is the same.
	UpgradePassword(ctx context.Context, key, old, new string) (bool, error)
	// EachPassword calls visit with each stored hash, in any order.
	EachPassword(ctx context.Context, visit func(stored string) error) error
}

// A Directory is the rest of what a store does with accounts; registration and
// the change of passwords stand on it.
type Directory interface {
	// AddAccount adds an account. The error wraps [ErrTaken] if its id or its key
	// is in use.
	AddAccount(ctx context.Context, a Account) error
	// SetPassword replaces the stored hash and increases the epoch, in one step.
	// An empty hash leaves the account without a password.
	SetPassword(ctx context.Context, key, hash string) error
	// SetDisabled switches an account off or on. It increases the epoch.
	SetDisabled(ctx context.Context, key string, disabled bool) error
}

// A Link is a mailed secret, of which the store knows only the hash.
type Link struct {
	Hash    [32]byte // SHA-256 of the token
	Purpose string   // what it is good for; a link is never good for anything else
	Account string   // key of the account
	Expires time.Time
}

// Links keeps mailed links. Implementations are in app/store.
type Links interface {
	// PutLink stores a link and queues the mail that carries it: both or neither.
	PutLink(ctx context.Context, l Link, m outbox.Mail) error
	// SpendLink removes the link with this hash and purpose and returns the key
	// of its account. The error wraps [ErrNoLink] if there is none that is good at
	// the time now. Of two calls for one link only one succeeds.
	SpendLink(ctx context.Context, hash [32]byte, purpose string, now time.Time) (key string, err error)
	// PruneLinks removes the links that have expired at the time now.
	PruneLinks(ctx context.Context, now time.Time) (int, error)
}
