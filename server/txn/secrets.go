package txn

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-security/holdfast/server"
)

// Secrets reach the detached run through a file in memory: the run may begin
// after the session that brought them has died, so a socket or a pipe of that
// session would not do, and arguments and environment can be read by others.
// The file is on a tmpfs, root only, and deleted before it is used; whatever
// ends the transaction deletes it too, and a power cut does so by itself.

func (j *Journal) secretsPath(id string) string {
	return filepath.Join(j.c.RunDir, "txn-"+id+".secrets")
}

func (j *Journal) leaveSecrets(id string, secrets map[string]server.Secret) error {
	if len(secrets) == 0 {
		return nil
	}
	if err := os.MkdirAll(j.c.RunDir, 0o700); err != nil {
		return err
	}
	if err := inMemory(j.c.RunDir); err != nil {
		return err
	}
	plain := map[string][]byte{}
	for name, s := range secrets {
		plain[name] = []byte(s.Reveal())
	}
	data, err := json.Marshal(plain)
	if err != nil {
		return err
	}
	path := j.secretsPath(id)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	return f.Close()
}

// takeSecrets returns what leaveSecrets has left and makes sure that it is gone.
func (j *Journal) takeSecrets(id string) (map[string]server.Secret, error) {
	path := j.secretsPath(id)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	var plain map[string][]byte
	if err := json.Unmarshal(data, &plain); err != nil {
		return nil, fmt.Errorf("reading the secrets of transaction %s: %w", id, err)
	}
	secrets := map[string]server.Secret{}
	for name, s := range plain {
		secrets[name] = server.NewSecret(string(s))
	}
	return secrets, nil
}

func (j *Journal) dropSecrets(id string) error {
	err := os.Remove(j.secretsPath(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
