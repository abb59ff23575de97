package session

import (
	"context"
	"errors"
	"time"
)

// ErrNoSession says that there is no such session: it never was, was replaced,
// has ended or has expired, or its account has changed since.
var ErrNoSession = errors.New("no such session")

// A Record is what a store keeps of a session. Programs see a [Session], which
// only a [Manager] makes. Times are kept to the microsecond.
type Record struct {
	Hash    [32]byte // SHA-256 of the token; the token itself is nowhere but in the browser
	ID      string   // names the session in lists; good for nothing else; at most 64 bytes
	Account string   // key of the account; at most 64 bytes
	// Epoch is that of the account when the person proved who they are.
	Epoch int64

	Began   time.Time
	Seen    time.Time // at most a minute older than the last request
	Proven  time.Time // when the person last proved who they are
	Expires time.Time // the absolute end
	Idle    time.Duration

	By      string // by what it was proven, for example "password totp"; at most 64 bytes
	Addr    string // of the client at the beginning; at most 64 bytes
	Browser string // as it called itself at the beginning; at most [MaxBrowser] bytes
	// Remember says that the session outlives the browser window.
	Remember bool
}

// live reports whether neither lifetime is over.
func (r *Record) live(now time.Time) bool {
	return now.Before(r.Expires) && now.Before(r.Seen.Add(r.Idle))
}

// A Holder keeps sessions. Implementations are in app/store.
type Holder interface {
	// AddSession stores a new session.
	AddSession(ctx context.Context, r Record) error
	// FindSession returns the session with this hash. The error wraps
	// [ErrNoSession] if there is none, or if its account is gone, switched off,
	// or at another epoch than the session: sessions end when the password
	// changes, without anybody looking for them.
	FindSession(ctx context.Context, hash [32]byte) (Record, error)
	// ReplaceSession gives the session with the hash old the hash of r and its By
	// and Proven, in one step; the rest stays. Of two calls for one session only
	// one succeeds, the error of the other wraps [ErrNoSession].
	ReplaceSession(ctx context.Context, old [32]byte, r Record) error
	// TouchSession sets when the session was seen, unless that is later than
	// before already, and reports whether it did. A session that has ended stays
	// ended.
	TouchSession(ctx context.Context, hash [32]byte, now, before time.Time) (bool, error)
}

// An Ender lists and ends sessions. Each method may be called inside a
// transaction of the store, together with what is the reason for the end:
//
//	err = s.Tx(ctx, func(tx *store.Store) error {
//		if err := tx.SetPassword(ctx, key, hash); err != nil {
//			return err
//		}
//		_, err := tx.EndSessions(ctx, key, "")
//		return err
//	})
type Ender interface {
	// ListSessions returns the sessions of an account that are live at the time
	// now, the one seen last first.
	ListSessions(ctx context.Context, account string, now time.Time) ([]Record, error)
	// EndSession ends the session of this account with this ID. If there is none,
	// that is no error.
	EndSession(ctx context.Context, account, id string) error
	// EndSessions ends all sessions of an account but the one with the ID keep
	// ("" keeps none), and returns how many. The kept one, if it is the account's,
	// is brought to the account's present epoch, so that it survives a change of
	// the password in the same transaction.
	EndSessions(ctx context.Context, account, keep string) (int, error)
	// PruneSessions removes what is over at the time now and returns how many.
	PruneSessions(ctx context.Context, now time.Time) (int, error)
}

// A Store is both.
type Store interface {
	Holder
	Ender
}
