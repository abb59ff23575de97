package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// A Session is somebody who is logged in. Only a [Manager] makes one, after it has
// verified a cookie: what takes a Session as the acting person cannot be handed a
// name from a form. The zero value is nobody.
type Session struct {
	r Record
}

// Account returns the key of the account, or "" for nobody.
func (s Session) Account() string { return s.r.Account }

// ID names the session in lists. It stays when the session gets a new token, and
// is good for nothing else.
func (s Session) ID() string { return s.r.ID }

// Began returns when the person logged in.
func (s Session) Began() time.Time { return s.r.Began }

// Seen returns when the session was last used, to the minute.
func (s Session) Seen() time.Time { return s.r.Seen }

// Expires returns the absolute end.
func (s Session) Expires() time.Time { return s.r.Expires }

// Proven returns when the person last proved who they are, and by what, for
// example "password totp".
func (s Session) Proven() (at time.Time, by string) { return s.r.Proven, s.r.By }

// From returns the client's address and what its browser called itself when the
// session began. The latter is text that somebody sent, without control
// characters.
func (s Session) From() (addr, browser string) { return s.r.Addr, s.r.Browser }

// A token is 32 random bytes in unpadded base64url.
const tokenLength = 43

var tokenEncoding = base64.RawURLEncoding.Strict()

func newToken() (token string, hash [32]byte) {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return tokenEncoding.EncodeToString(b[:]), sha256.Sum256(b[:])
}

// hashOf returns the hash of a token, or false for what cannot be one.
func hashOf(token string) (hash [32]byte, ok bool) {
	if len(token) != tokenLength {
		return hash, false
	}
	var b [33]byte
	n, err := tokenEncoding.Decode(b[:], []byte(token))
	if err != nil || n != 32 {
		return hash, false
	}
	return sha256.Sum256(b[:n]), true
}
