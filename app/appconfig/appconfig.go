// Package appconfig holds what a program is configured with: secrets that do not
// print, and a profile that somebody chose (guide 4.5).
//
//	type Config struct {
//		Profile  appconfig.Profile
//		Database appconfig.Secret
//	}
//
// A [Secret] is shown as REDACTED by fmt, slog, JSON, YAML and templates; only
// [Secret.Reveal] gives the text, so a search for that word finds every use.
//
// A [Profile] is explicit. The guide's sample falls back to the development
// configuration when the one for production cannot be read; here an unset or unknown
// profile is an error, and whatever is not exactly Development is as strict as
// Production.
//
// If a profile or a secret cannot be read, ParseProfile and the decoders fail, and
// the program is not to start.
package appconfig

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
)

// redacted is what every printer gets.
const redacted = "REDACTED"

// A Secret is text that does not print: a password, a key, a URL with one. The zero
// value is empty. Copies share the text.
type Secret struct {
	// A pointer, because fmt shows the fields of unexported fields without asking
	// for their methods: it then shows an address.
	text *string
}

// NewSecret returns a secret.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text, to hand it to what needs it and nobody else.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// Equal compares in a time that does not depend on the texts, their lengths
// included.
func (s Secret) Equal(other Secret) bool {
	a, b := sha256.Sum256([]byte(s.Reveal())), sha256.Sum256([]byte(other.Reveal()))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Format writes REDACTED for every verb of fmt.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String returns REDACTED.
func (s Secret) String() string { return redacted }

// LogValue returns REDACTED.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns REDACTED: a configuration that is written out has to be given
// its secrets again.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText takes the text. It refuses REDACTED, which is what a configuration
// that was written out has in its place.
func (s *Secret) UnmarshalText(text []byte) error {
	if string(text) == redacted {
		return errors.New("a secret reads " + redacted + ": it was written out, not given")
	}
	*s = NewSecret(string(text))
	return nil
}

// A Profile says where a program runs.
type Profile string

// The profiles. There is no default.
const (
	Production  Profile = "production"
	Development Profile = "development"
	Testing     Profile = "testing"
)

// ErrProfile says that no profile, or an unknown one, was chosen.
var ErrProfile = errors.New("the profile is not production, development or testing")

// ParseProfile reads a profile by its exact name.
func ParseProfile(text string) (Profile, error) {
	switch p := Profile(text); p {
	case Production, Development, Testing:
		return p, nil
	}
	return "", fmt.Errorf("%q: %w", text, ErrProfile)
}

// UnmarshalText reads a profile as ParseProfile does.
func (p *Profile) UnmarshalText(text []byte) error {
	q, err := ParseProfile(string(text))
	if err != nil {
		return err
	}
	*p = q
	return nil
}

// Strict reports whether every protection is on: in production, in testing, and
// where no profile was set. Only in Development may a program do without TLS or send
// its mail to a file.
func (p Profile) Strict() bool { return p != Development }
