package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
)

// StateDir is where a server keeps what Holdfast must remember: journal,
// snapshots, the key of its digests. Root only.
const StateDir = "/var/lib/holdfast"

// ProgramDir is where the daemons lie on a server, each in a directory that is
// named after its SHA-256, and Program is a link to the one that came last, for
// what must go on working when another comes.
const (
	ProgramDir = "/usr/local/lib/holdfast"
	Program    = ProgramDir + "/holdfastd"
)

// DigestKeyFile holds the 32 random bytes under which [Digest] is computed. The
// daemon makes it before its first plan.
const DigestKeyFile = StateDir + "/key"

// A Secret is text that must not be seen: it prints and marshals as REDACTED.
// [Secret.Reveal] is the one way to its content. Two Secrets are not to be
// compared with ==.
type Secret struct {
	// content is behind a pointer because package fmt calls no methods on what
	// lies in an unexported field of another struct: there it prints an address.
	content *string
}

// NewSecret returns a Secret with the given content.
func NewSecret(content string) Secret { return Secret{&content} }

// Reveal returns the content.
func (s Secret) Reveal() string {
	if s.content == nil {
		return ""
	}
	return *s.content
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// passwordAlphabet has no two neighbours of the alphabet, because dictionary
// checks count runs such as "abc" against a password.
const passwordAlphabet = "acegikmoqsuwy"

// NewPassword returns a random password of 25 characters and 74 bits that
// passes all [PasswordRules].
func NewPassword() Secret {
	password := []byte("Mk-5-")
	for len(password) < 25 {
		b := make([]byte, 1)
		rand.Read(b) // never fails
		if limit := len(passwordAlphabet); int(b[0]) < 256/limit*limit {
			password = append(password, passwordAlphabet[int(b[0])%limit])
		}
	}
	return NewSecret(string(password))
}

const redacted = "REDACTED"

// String returns REDACTED.
func (Secret) String() string { return redacted }

// GoString returns REDACTED, for %#v.
func (Secret) GoString() string { return redacted }

// Format prints REDACTED for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue returns REDACTED, for log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "REDACTED". The protocol between desk and daemon, which
// must carry secrets, has a field of its own for them.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// Digest returns an HMAC-SHA-256 of content under the key of the host that r
// shows, as the first 16 bytes in hex. It lets a [State] tell two secrets apart
// without holding either. A host that has no key yet gives "unkeyed".
func Digest(ctx context.Context, r Reader, content string) (string, error) {
	key, err := r.Read(ctx, DigestKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "unkeyed", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the key of digests: %w", err)
	}
	mac := hmac.New(sha256.New, []byte(key.Content))
	mac.Write([]byte(content))
	return hex.EncodeToString(mac.Sum(nil)[:16]), nil
}
