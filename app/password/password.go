package password

import (
	"errors"
)

// Sentinel errors; what is returned wraps them and says more.
var (
	// ErrUnknownScheme says that no scheme of the hasher reads this hash. A
	// Verifier returns it from Cost for a hash that is not its own.
	ErrUnknownScheme = errors.New("unknown password hash scheme")
	// ErrMalformed says that a hash names a known scheme and is not well formed.
	ErrMalformed = errors.New("malformed password hash")
	// ErrTooCostly says that a hash asks for more than the scheme's bounds.
	ErrTooCostly = errors.New("password hash above the bounds of its scheme")
	// ErrTooWeak says that a scheme is configured below the recommended cost.
	ErrTooWeak = errors.New("password scheme below the recommended cost")
	// ErrPassword says that a password can never be one: empty, longer than
	// MaxLength, or with control characters in it.
	ErrPassword = errors.New("unusable password")
	// ErrUnknownKey says that a hash was made under a pepper that is not in the
	// key ring.
	ErrUnknownKey = errors.New("unknown pepper key")
)

// MaxLength is the length of the longest password in bytes, far above what
// anybody types; it bounds the work that a request can ask for.
const MaxLength = 4096

// A Cost is what one computation of a hash takes. Two costs of one scheme are
// equal exactly if the hashes are equally hard to guess.
type Cost struct {
	Memory int64 // bytes held while it is computed
	Lanes  int   // threads that it keeps busy; at least 1
	Work   int64 // the scheme's own number: passes, iterations, rounds
}

// A Verifier checks passwords against the stored hashes of one scheme. It may be
// used by many goroutines at a time.
type Verifier interface {
	// ID names the scheme, for example "argon2id": lower-case letters, digits
	// and hyphens, unique within a Hasher.
	ID() string
	// Cost reads the cost of a stored hash and computes nothing. The error wraps
	// ErrUnknownScheme if the hash is not of this scheme, ErrMalformed if it
	// cannot be read, ErrTooCostly if it is above the scheme's bounds.
	//
	// For the empty string, a Scheme returns the cost of the hashes that it
	// makes, or an error wrapping ErrTooWeak or ErrTooCostly if it makes none.
	Cost(encoded string) (Cost, error)
	// Verify computes the hash of the password and compares it with the stored
	// one in constant time. Its errors are those of Cost.
	Verify(encoded, password string) (bool, error)
}

// A Scheme is a Verifier that also makes hashes.
type Scheme interface {
	Verifier
	// Hash returns a stored hash of the password with a fresh random salt of at
	// least 128 bits, at the cost that Cost("") returns.
	Hash(password string) (encoded string, err error)
}

// A Wrappable is a Verifier whose stored hashes are settings (salt, rounds) and a
// digest, so that the digest can be hashed once more; see Hasher.Wrap.
type Wrappable interface {
	Verifier
	// Split takes a stored hash apart. Its errors are those of Cost.
	Split(encoded string) (settings, digest string, err error)
	// Digest computes the digest of a password under settings that Split
	// returned once; they come from a database, so the bounds apply.
	Digest(settings, password string) (digest string, err error)
}
