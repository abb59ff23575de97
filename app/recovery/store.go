package recovery

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
)

// ErrNoToken says that a link was never made, was used, or has expired.
var ErrNoToken = errors.New("no such link")

// A Token is a mailed secret, of which the store knows only the hash.
type Token struct {
	Hash [32]byte // SHA-256 of the text
	// Purpose is what it is good for, at most 64 bytes; a token is never good for
	// anything else.
	Purpose string
	Account string // key; empty if there is no account yet; at most 64 bytes
	Mail    string // the address that it was mailed to, at most 320 bytes
	Expires time.Time
}

// NewToken returns a fresh secret of 256 bits for a link, and what is stored of it.
func NewToken(purpose, account, mail string, life time.Duration) (text string, t Token) {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	text = base64.RawURLEncoding.EncodeToString(secret)
	return text, Token{Hash: Hash(text), Purpose: purpose, Account: account, Mail: mail, Expires: time.Now().Add(life)}
}

// Hash is what is stored of the text of a token.
func Hash(text string) [32]byte { return sha256.Sum256([]byte(text)) }

// Tokens keeps tokens. Implementations are in app/store.
type Tokens interface {
	// PutToken adds a token.
	PutToken(ctx context.Context, t Token) error
	// FindToken returns the token with this hash and purpose and leaves it. The
	// error wraps [ErrNoToken] if there is none that is good at the time now.
	FindToken(ctx context.Context, hash [32]byte, purpose string, now time.Time) (Token, error)
	// SpendToken returns a token like FindToken and removes it. Of two calls for
	// one token only one succeeds.
	SpendToken(ctx context.Context, hash [32]byte, purpose string, now time.Time) (Token, error)
	// DropTokens removes all tokens of an account, or for an empty account those
	// of all that have expired at the time now.
	DropTokens(ctx context.Context, account string, now time.Time) error
}

// An Accounts is what a reset needs of accounts.
type Accounts interface {
	FindAccount(ctx context.Context, id login.ID) (login.Account, error) // see [login.Accounts]
	Account(ctx context.Context, key string) (login.Account, error)      // see [login.Accounts]
	SetPassword(ctx context.Context, key, hash string) error             // see [login.Directory]
}

// An Ender ends the sessions of an account but the one with the ID keep ("" keeps
// none) and returns how many they were; package session has more of it.
type Ender interface {
	EndSessions(ctx context.Context, account, keep string) (int, error)
}

// A Poster queues mail; it is a part of [outbox.Queue].
type Poster interface {
	PutMail(ctx context.Context, m outbox.Mail) error
}

// A Store keeps everything that a [Service] needs. Implementations are in
// app/store. S is the type of the store itself, inside a transaction too.
type Store[S any] interface {
	Tokens
	Accounts
	Ender
	Poster
	// Tx runs fn in one transaction: all of it happens or nothing.
	Tx(ctx context.Context, fn func(tx S) error) error
}
