// Package keyring holds the secret of a program: the one in use and those before
// it. One ring serves everything that needs a key, the password pepper, the
// encryption of TOTP secrets, CSRF tokens, device cookies and signed tokens; each
// purpose gets keys of its own, derived by HKDF-SHA-256 (RFC 5869), so that no
// use of one key says anything about another.
//
// A ring rotates while the program serves: new things are made with the current
// secret, old ones are still accepted with the secrets before it, found by their
// short key id. A secret may be dropped when nothing made with it is left: for
// cookies and tokens that is their lifetime, for a pepper that is when no stored
// password hash names its id any more.
//
// If a secret is too short or appears twice, New, Parse and Rotate fail and
// change nothing; if a key id is not in the ring, Find says so and the caller
// refuses what it came from.
package keyring

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// MinSecret is the least length of a secret in bytes.
const MinSecret = 32

// ErrSecret says that a secret cannot be used.
var ErrSecret = errors.New("unusable secret")

// A Key is one secret's key for one purpose.
type Key struct {
	// ID names the secret that the key comes from: 8 characters of unpadded
	// base64url. It may be stored and shown; it is the same for no two purposes.
	ID string
	// Bytes is the key itself.
	Bytes [32]byte
}

// LogValue keeps the key out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue("key " + k.ID) }

// Format keeps the key out of formatted text, for every verb. It is not asked for
// what lies in an unexported field of another struct: do not print those.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "key "+k.ID) }

// A Ring holds the current secret and those before it. It may be used by many
// goroutines at a time, also while it rotates.
type Ring struct {
	mu      sync.RWMutex
	secrets []string // the current one first
	derived map[string][]Key
}

// New returns a ring with the current secret and those before it, newest first.
// Each has at least [MinSecret] bytes from a random source: a pass phrase is no
// secret.
func New(current []byte, previous ...[]byte) (*Ring, error) {
	r := &Ring{}
	for i := len(previous) - 1; i >= 0; i-- {
		if err := r.Rotate(previous[i]); err != nil {
			return nil, fmt.Errorf("previous secret %d: %w", i+1, err)
		}
	}
	if err := r.Rotate(current); err != nil {
		return nil, fmt.Errorf("current secret: %w", err)
	}
	return r, nil
}

// Parse reads a ring from the text of a key file: one secret in a line as
// standard base64, the current one first; empty lines and lines that begin with
// # are skipped. [Generate] makes such a line.
func Parse(text string) (*Ring, error) {
	var secrets [][]byte
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		secret, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil {
			// The error of the decoder would show a part of the secret's shape.
			return nil, fmt.Errorf("key file line %d is not base64: %w", number, ErrSecret)
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("key file holds no secret: %w", ErrSecret)
	}
	return New(secrets[0], secrets[1:]...)
}

// Generate returns a new random secret as a line for [Parse].
func Generate() string {
	secret := make([]byte, MinSecret)
	rand.Read(secret) // never fails
	return base64.StdEncoding.EncodeToString(secret) + "\n"
}

// Rotate makes secret the current one; what was current is still accepted.
func (r *Ring) Rotate(secret []byte) error {
	if len(secret) < MinSecret {
		return fmt.Errorf("%d bytes, at least %d are needed: %w", len(secret), MinSecret, ErrSecret)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.secrets {
		if s == string(secret) {
			return fmt.Errorf("the same secret twice: %w", ErrSecret)
		}
	}
	r.secrets = append([]string{string(secret)}, r.secrets...)
	r.derived = nil
	return nil
}

// Current returns the key for new things of this purpose. Purposes are constant
// text such as "password pepper".
func (r *Ring) Current(purpose string) Key { return r.Keys(purpose)[0] }

// Keys returns the keys of all secrets for this purpose, the current one first.
func (r *Ring) Keys(purpose string) []Key {
	r.mu.RLock()
	keys, ok := r.derived[purpose]
	r.mu.RUnlock()
	if ok {
		return keys
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	keys = make([]Key, 0, len(r.secrets))
	for _, s := range r.secrets {
		keys = append(keys, derive(s, purpose))
	}
	if r.derived == nil {
		r.derived = map[string][]Key{}
	}
	r.derived[purpose] = keys
	return keys
}

// Find returns the key with this id for this purpose, and whether the ring has
// one.
func (r *Ring) Find(purpose, id string) (Key, bool) {
	for _, k := range r.Keys(purpose) {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}

// derive makes the key and its id from separate outputs of HKDF, so that the
// public id says nothing about the key.
func derive(secret, purpose string) Key {
	out, err := hkdf.Key(sha256.New, []byte(secret), nil, "holdfast keyring v1: "+purpose, 32+6)
	if err != nil {
		panic(err) // only for outputs longer than 255 hashes
	}
	return Key{ID: base64.RawURLEncoding.EncodeToString(out[32:]), Bytes: [32]byte(out[:32])}
}
