package account

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/mfa"
	"github.com/holdfast-security/holdfast/app/recovery"
)

// ErrNoLoss says that no loss of a second factor is waiting.
var ErrNoLoss = errors.New("no loss is waiting")

// Losses keeps accounts whose second factor will be removed.
type Losses interface {
	// PutLoss notes that the factor of an account may be removed from the time
	// due on, and reports whether it did: it does not if one is waiting already.
	PutLoss(ctx context.Context, account string, due time.Time) (bool, error)
	// Loss returns the time, or an error wrapping [ErrNoLoss].
	Loss(ctx context.Context, account string) (due time.Time, err error)
	// DropLoss removes the note and reports whether it was there. Of two calls
	// one succeeds.
	DropLoss(ctx context.Context, account string) (bool, error)
}

// Profiles changes what else is stored of a person.
type Profiles interface {
	// SetAddress replaces login id and mail address and increases the epoch. The
	// error wraps login.ErrTaken if another account has the id.
	SetAddress(ctx context.Context, key string, id login.ID, mail string) error
	// Phone returns the stored phone number, or "".
	Phone(ctx context.Context, account string) (string, error)
	// SetPhone sets it; the empty one removes it.
	SetPhone(ctx context.Context, account, phone string) error
	// DropAccount removes an account and its roles. The error wraps
	// login.ErrNoAccount if there is none.
	DropAccount(ctx context.Context, key string) error
}

// A Store keeps everything that a [Service] needs. Implementations are in
// app/store. S is the type of the store itself, inside a transaction too.
type Store[S any] interface {
	recovery.Store[S]
	mfa.Factors
	mfa.Codes
	mfa.Challenges
	mfa.Records
	Losses
	Profiles
	// AddAccount is of [login.Directory].
	AddAccount(ctx context.Context, a login.Account) error
}
