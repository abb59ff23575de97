package site

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/internal/durable"
	"github.com/holdfast-security/holdfast/server"
)

// DefaultIdentity is where the identity that opens secrets is kept:
// ~/.config/holdfast/identity.txt on every system.
func DefaultIdentity() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".config", "holdfast", "identity.txt"), nil
}

// AskPassphrase asks a person for the passphrase of the file at path. It is
// called only if one is needed.
type AskPassphrase func(path string) (server.Secret, error)

// An OpenFileError says that a private file can be read by others.
type OpenFileError struct {
	Path string
	Mode fs.FileMode
}

// Error names the file and its mode.
func (e *OpenFileError) Error() string {
	return fmt.Sprintf("%s can be read by others (mode %#o)", e.Path, e.Mode)
}

// Identities reads the private keys that open secrets from the file at path: an
// age identity file, the same encrypted with a passphrase, or an ed25519 SSH
// key. Errors wrap [fs.ErrNotExist] if there is no file and are of type
// [*OpenFileError] if others can read it; they never hold content.
func Identities(path string, ask AskPassphrase) ([]age.Identity, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		id, err := sshIdentity(path, data, ask)
		if err != nil {
			return nil, fmt.Errorf("reading the identity %s: %w", path, err)
		}
		return []age.Identity{id}, nil
	}
	if bytes.HasPrefix(data, []byte(armor.Header)) || bytes.HasPrefix(data, []byte("age-encryption.org/")) {
		if data, err = unlock(path, data, ask); err != nil {
			return nil, fmt.Errorf("reading the identity %s: %w", path, err)
		}
	}
	ids, err := age.ParseIdentities(bytes.NewReader(data))
	if err != nil {
		// The error of the library may repeat a part of the line.
		return nil, fmt.Errorf("reading the identity %s: it is not an age identity file", path)
	}
	return ids, nil
}

func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, &OpenFileError{Path: path, Mode: info.Mode().Perm()}
	}
	return io.ReadAll(io.LimitReader(f, maxKeyFile))
}

func unlock(path string, data []byte, ask AskPassphrase) ([]byte, error) {
	if ask == nil {
		return nil, errors.New("it has a passphrase and nobody can be asked")
	}
	passphrase, err := ask(path)
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(passphrase.Reveal())
	if err != nil {
		return nil, errors.New("the passphrase is empty")
	}
	plain, err := decrypt(data, []age.Identity{id})
	if err != nil {
		return nil, errors.New("the passphrase does not fit")
	}
	return plain, nil
}

func sshIdentity(path string, data []byte, ask AskPassphrase) (age.Identity, error) {
	id, err := agessh.ParseIdentity(data)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		if ask == nil {
			return nil, errors.New("it has a passphrase and nobody can be asked")
		}
		passphrase, err := ask(path)
		if err != nil {
			return nil, err
		}
		key, err := ssh.ParseRawPrivateKeyWithPassphrase(data, []byte(passphrase.Reveal()))
		if err != nil {
			return nil, errors.New("the passphrase does not fit")
		}
		return identityOf(key)
	}
	if err != nil {
		return nil, errors.New("it is not a key that age can use")
	}
	if _, ok := id.(*agessh.Ed25519Identity); !ok {
		return nil, errors.New("only ed25519 keys can open secrets")
	}
	return id, nil
}

// MakeIdentity makes an age identity in a new file at path with mode 0600, in a
// directory with mode 0700 that is made if it is missing, and returns its
// recipient. A file that is there is never overwritten: the error then wraps
// [fs.ErrExist].
func MakeIdentity(path string) (recipient string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("# opens the secrets of holdfast; keep a copy in a safe place\n# created: %s\n# public key: %s\n%s\n",
		time.Now().UTC().Format(time.RFC3339), id.Recipient(), id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	if err := durable.WriteNew(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	return id.Recipient().String(), nil
}

// RecipientsOf returns the recipients that the native age identities among ids
// belong to.
func RecipientsOf(ids []age.Identity) []string {
	var all []string
	for _, id := range ids {
		switch id := id.(type) {
		case *age.X25519Identity:
			all = append(all, id.Recipient().String())
		case *age.HybridIdentity:
			all = append(all, id.Recipient().String())
		}
	}
	return all
}

// identityOf makes an age identity of a decrypted ed25519 key.
func identityOf(key any) (age.Identity, error) {
	private, ok := key.(*ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("only ed25519 keys can open secrets")
	}
	return agessh.NewEd25519Identity(*private)
}
