package site

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/holdfast-security/holdfast/internal/durable"
	"github.com/holdfast-security/holdfast/server"
)

// A Protection says what keeps a private key from who gets its file.
type Protection string

// The protections.
const (
	// ByPassphrase is a file that is encrypted with a passphrase.
	ByPassphrase Protection = "passphrase"
	// ByHardware is a key that never leaves a security token.
	ByHardware Protection = "hardware"
	// ByNothing is a file that works for whoever has it.
	ByNothing Protection = "none"
	// NotKnown is a key whose private half is not in a file beside it.
	NotKnown Protection = "unknown"
)

// A FoundKey is a public key that the person at the desk can use.
type FoundKey struct {
	Key
	// Path is the public key's file, empty if the key is in the agent alone.
	Path string
	// InAgent says that the SSH agent holds the key.
	InAgent bool
	// Protection of the private key's file.
	Protection Protection
}

// FindKeys finds the public keys in the files *.pub of dir (~/.ssh) and in the
// SSH agent that listens on socket ($SSH_AUTH_SOCK); socket may be empty. Those
// that an admin cannot use are left out. An agent that does not answer is an
// error that comes together with the keys of dir.
func FindKeys(dir, socket string) ([]FoundKey, error) {
	var found []FoundKey
	paths, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		keys, err := readKeyFile(path)
		if err != nil || len(keys) != 1 || has(found, keys[0]) {
			continue
		}
		found = append(found, FoundKey{Key: keys[0], Path: path, Protection: protection(keys[0], strings.TrimSuffix(path, ".pub"))})
	}
	if socket == "" {
		return found, nil
	}
	held, err := agentKeys(socket)
	for _, k := range held {
		i := slices.IndexFunc(found, func(f FoundKey) bool { return f.Fingerprint == k.Fingerprint })
		if i < 0 {
			found = append(found, FoundKey{Key: k, InAgent: true, Protection: protection(k, "")})
			continue
		}
		found[i].InAgent = true
	}
	return found, err
}

func has(found []FoundKey, k Key) bool {
	return slices.ContainsFunc(found, func(f FoundKey) bool { return f.Fingerprint == k.Fingerprint })
}

// agentTimeout bounds how long an agent may take to list its keys.
const agentTimeout = 5 * time.Second

func agentKeys(socket string) ([]Key, error) {
	conn, err := net.DialTimeout("unix", socket, agentTimeout)
	if err != nil {
		return nil, fmt.Errorf("asking the SSH agent: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(agentTimeout)); err != nil {
		return nil, fmt.Errorf("asking the SSH agent: %w", err)
	}
	list, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, fmt.Errorf("asking the SSH agent: %w", err)
	}
	var keys []Key
	for _, held := range list {
		if k, err := ParseKey(held.String()); err == nil {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// protection tells how the private half of k, in the file at path, is kept.
func protection(k Key, path string) Protection {
	if strings.HasPrefix(k.Type, "sk-") {
		return ByHardware
	}
	if path == "" {
		return NotKnown
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return NotKnown
	}
	_, err = ssh.ParseRawPrivateKey(data)
	missing := (*ssh.PassphraseMissingError)(nil)
	switch {
	case err == nil:
		return ByNothing
	case errors.As(err, &missing):
		return ByPassphrase
	}
	return NotKnown
}

// MinPassphrase is how many characters the passphrase of a new key has at least
// (guide 3.7).
const MinPassphrase = 16

// CheckPassphrase returns an error if passphrase is too short for a key.
func CheckPassphrase(passphrase server.Secret) error {
	if n := utf8.RuneCountInString(passphrase.Reveal()); n < MinPassphrase {
		return fmt.Errorf("the passphrase has %d characters and needs %d or more", n, MinPassphrase)
	}
	return nil
}

// MakeKey makes an ed25519 key pair: the private key, encrypted with
// passphrase, in a new file at path with mode 0600, the public one in path.pub
// with mode 0644. The directory is made with mode 0700 if it is missing. Nothing
// is ever overwritten: if one of the files exists, the error wraps
// [fs.ErrExist] and nothing was made.
func MakeKey(path, comment string, passphrase server.Secret) (Key, error) {
	if err := CheckPassphrase(passphrase); err != nil {
		return Key{}, err
	}
	for _, p := range []string{path, path + ".pub"} {
		if _, err := os.Lstat(p); !errors.Is(err, fs.ErrNotExist) {
			return Key{}, fmt.Errorf("making a key: %w", &fs.PathError{Op: "create", Path: p, Err: fs.ErrExist})
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("making a key: %w", err)
	}
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("making a key: %w", err)
	}
	k, err := checkKey(pub, comment)
	if err != nil {
		return Key{}, fmt.Errorf("making a key: %w", err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, comment, []byte(passphrase.Reveal()))
	if err != nil {
		return Key{}, fmt.Errorf("making a key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return Key{}, fmt.Errorf("making a key: %w", err)
	}
	if err := durable.WriteNew(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return Key{}, err
	}
	if err := durable.WriteNew(path+".pub", []byte(k.Line+"\n"), 0o644); err != nil {
		return Key{}, errors.Join(err, os.Remove(path))
	}
	return k, nil
}
