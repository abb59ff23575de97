package site

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	yaml "go.yaml.in/yaml/v4"
	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/internal/durable"
	"github.com/holdfast-security/holdfast/server"
)

// SecretsPath is where the secrets of the site file at sitePath are.
func SecretsPath(sitePath string) string {
	return filepath.Join(filepath.Dir(sitePath), "secrets.age")
}

// LoginSecret is the name under which the password of the first login to a
// server is kept in [Secrets]. The names of first passwords are those of
// [server.PasswordSecret].
func LoginSecret(account, serverName string) string { return "login/" + account + "@" + serverName }

// secretName is what a secret can be called: a kind and whom it belongs to.
var secretName = regexp.MustCompile(`^[a-z][a-z0-9_-]*/[A-Za-z0-9_.@-]+$`)

// maxSecrets bounds the secrets file, in bytes.
const maxSecrets = 1 << 20

// Secrets are texts by name that must not be readable in the site file. A
// Secrets prints its number of entries only. It is not safe for concurrent use.
type Secrets struct {
	path       string
	identities []age.Identity
	content    map[string]server.Secret
	found      [sha256.Size]byte // hash of the file as it was opened
	exists     bool
}

// A ChangedError says that the secrets file was changed by something else after
// it was opened. Nothing was written.
type ChangedError struct{ Path string }

// Error names the file.
func (e *ChangedError) Error() string { return e.Path + " was changed by something else" }

// OpenSecrets decrypts the secrets at path with the first of identities that
// fits. A missing file is an empty set. An error wraps [age.NoIdentityMatchError]
// if none fits, and never holds content.
func OpenSecrets(path string, identities []age.Identity) (*Secrets, error) {
	s := &Secrets{path: path, identities: identities, content: map[string]server.Secret{}}
	data, err := readSecrets(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	s.found, s.exists = sha256.Sum256(data), true
	plain, err := decrypt(data, identities)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	var entries map[string]string
	// The error of the YAML library would repeat a part of the content.
	if yaml.Load(plain, &entries) != nil {
		return nil, fmt.Errorf("opening %s: it does not hold names with texts", path)
	}
	for name, text := range entries {
		if !secretName.MatchString(name) || text == "" {
			return nil, fmt.Errorf("opening %s: an entry has no valid name or no text", path)
		}
		s.content[name] = server.NewSecret(text)
	}
	return s, nil
}

func readSecrets(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecrets+1))
	if err == nil && len(data) > maxSecrets {
		err = fmt.Errorf("%s is bigger than %d bytes", path, maxSecrets)
	}
	return data, err
}

func decrypt(data []byte, identities []age.Identity) ([]byte, error) {
	if len(identities) == 0 {
		return nil, &age.NoIdentityMatchError{}
	}
	var in io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(data, []byte(armor.Header)) {
		in = armor.NewReader(in)
	}
	out, err := age.Decrypt(in, identities...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(out, maxSecrets))
}

// Get returns the secret of that name; its zero value means that there is none.
func (s *Secrets) Get(name string) server.Secret { return s.content[name] }

// Names returns the names of all secrets, sorted.
func (s *Secrets) Names() []string { return slices.Sorted(maps.Keys(s.content)) }

// Set keeps secret under name, such as "password/alice". It is written by
// [Secrets.Save].
func (s *Secrets) Set(name string, secret server.Secret) error {
	if !secretName.MatchString(name) {
		return fmt.Errorf("%s does not name a secret", show(name))
	}
	if secret.IsZero() {
		return fmt.Errorf("the secret %s is empty", name)
	}
	s.content[name] = secret
	return nil
}

// Remove forgets the secret of that name; that there is none is not an error.
func (s *Secrets) Remove(name string) { delete(s.content, name) }

// Save encrypts the secrets to recipients ([SecretsFile.Recipients]) and
// replaces the file, with mode 0600. It refuses recipients that none of the
// identities the secrets were opened with belongs to, because the file could
// then not be opened here again, and returns a [*ChangedError] if the file is
// not the one that was opened.
func (s *Secrets) Save(recipients []string) error {
	sealed, err := s.seal(recipients)
	if err != nil {
		return fmt.Errorf("encrypting %s: %w", s.path, err)
	}
	now, err := readSecrets(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if exists := err == nil; exists != s.exists || exists && sha256.Sum256(now) != s.found {
		return &ChangedError{Path: s.path}
	}
	if err := durable.WriteFile(s.path, sealed, 0o600); err != nil {
		return err
	}
	s.found, s.exists = sha256.Sum256(sealed), true
	return nil
}

func (s *Secrets) seal(recipients []string) ([]byte, error) {
	if len(recipients) == 0 {
		return nil, errors.New("there is no recipient")
	}
	var to []age.Recipient
	for _, text := range recipients {
		r, err := parseRecipient(text)
		if err != nil {
			return nil, err
		}
		to = append(to, r)
	}
	entries := map[string]string{}
	for name, secret := range s.content {
		entries[name] = secret.Reveal()
	}
	plain, err := yaml.Dump(entries)
	if err != nil {
		return nil, errors.New("the secrets are not text")
	}
	if len(plain) > maxSecrets/2 {
		return nil, errors.New("the secrets are too big for one file")
	}
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	in, err := age.Encrypt(text, to...)
	if err != nil {
		return nil, err
	}
	if _, err := in.Write(plain); err != nil {
		return nil, err
	}
	if err := errors.Join(in.Close(), text.Close()); err != nil {
		return nil, err
	}
	back, err := decrypt(out.Bytes(), s.identities)
	if err != nil {
		return nil, fmt.Errorf("none of the identities at hand could open it again: %w", err)
	}
	var check map[string]string
	if yaml.Load(back, &check) != nil || !maps.Equal(check, entries) {
		return nil, errors.New("what was encrypted does not read back")
	}
	return out.Bytes(), nil
}

// parseRecipient reads an age recipient or an ed25519 SSH key. RSA is left out:
// age takes it for old keys alone.
func parseRecipient(text string) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(text, "age1"):
		rs, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(rs) != 1 {
			return nil, errors.New("the age recipient does not parse; it may be cut off")
		}
		return rs[0], nil
	case strings.HasPrefix(text, ssh.KeyAlgoED25519+" "):
		r, err := agessh.ParseRecipient(text)
		if err != nil {
			return nil, errors.New("the SSH key does not parse; it may be cut off")
		}
		return r, nil
	}
	return nil, errors.New("this is not an age recipient")
}

// String says how many secrets there are.
func (s *Secrets) String() string { return fmt.Sprintf("%d secrets", len(s.content)) }

// Format prints String for every verb and flag.
func (s *Secrets) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue is String, for log/slog.
func (s *Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }
