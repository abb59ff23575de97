package mfa

import (
	"context"
	"errors"
	"time"
)

// Sentinel errors of the interfaces below.
var (
	// ErrNoFactor says that an account has no second factor.
	ErrNoFactor = errors.New("no second factor")
	// ErrNoChallenge says that a challenge was never made, was answered, has
	// expired or has no tries left.
	ErrNoChallenge = errors.New("no such challenge")
)

// A Factor is the authenticator app of an account.
type Factor struct {
	Account string // key of the account, at most 64 bytes
	Sealed  string // the encrypted secret, at most [MaxSealed] bytes
	// Step is the latest time step whose code was taken.
	Step int64
}

// Factors keeps authenticator apps, one for each account.
type Factors interface {
	// Factor returns the factor of an account. The error wraps [ErrNoFactor] if
	// there is none.
	Factor(ctx context.Context, account string) (Factor, error)
	// PutFactor adds the factor of an account, or replaces it.
	PutFactor(ctx context.Context, f Factor) error
	// UseStep moves the latest step forward and reports whether it did: it does
	// so if step is after the latest one and the sealed secret is still this one,
	// in the statement that writes. Of two calls for one step one succeeds.
	UseStep(ctx context.Context, account, sealed string, step int64) (bool, error)
	// ResealFactor replaces the sealed secret if it still is old, in one
	// statement, and reports whether it was. The step stays.
	ResealFactor(ctx context.Context, account, old, new string) (bool, error)
}

// Codes keeps the hashes of recovery codes.
type Codes interface {
	// PutCodes replaces all codes of an account.
	PutCodes(ctx context.Context, account string, hashes [][32]byte) error
	// SpendCode removes a code and reports whether it was there. Of two calls for
	// one code one succeeds.
	SpendCode(ctx context.Context, account string, hash [32]byte) (bool, error)
	// CountCodes returns how many codes are left.
	CountCodes(ctx context.Context, account string) (int, error)
}

// A Challenge is a login that waits for the second factor.
type Challenge struct {
	Hash    [32]byte // SHA-256 of the token
	Account string   // key of the account whose password was right
	Epoch   int64    // of the account at that time
	Tries   int      // that are left
	Expires time.Time
}

// Challenges keeps challenges, between requests and between processes.
type Challenges interface {
	// PutChallenge adds a challenge.
	PutChallenge(ctx context.Context, c Challenge) error
	// TryChallenge takes one try and returns what is left. The error wraps
	// [ErrNoChallenge] if there is none that is good at the time now.
	TryChallenge(ctx context.Context, hash [32]byte, now time.Time) (Challenge, error)
	// DropChallenge removes a challenge and reports whether it was there. Of two
	// calls for one challenge one succeeds.
	DropChallenge(ctx context.Context, hash [32]byte) (bool, error)
	// PruneChallenges removes those that have expired at the time now.
	PruneChallenges(ctx context.Context, now time.Time) (int, error)
}

// Records is the rest: what ends and what is walked over.
type Records interface {
	// DropFactor removes the factor, the recovery codes and the challenges of an
	// account. One that has none is no error.
	DropFactor(ctx context.Context, account string) error
	// EachFactor calls visit with each factor, in any order.
	EachFactor(ctx context.Context, visit func(Factor) error) error
}

// A Store keeps everything that a [Service] needs. Implementations are in
// app/store. S is the type of the store itself, inside a transaction too.
type Store[S any] interface {
	Factors
	Codes
	Challenges
	Records
	// Tx runs fn in one transaction: all of it happens or nothing.
	Tx(ctx context.Context, fn func(tx S) error) error
}
