package txn

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/holdfast-security/holdfast/internal/durable"
)

// disk does all writing of the journal. Tests let each of its writes fail, before
// or after it happened.
type disk struct {
	fault func(path string, write func() error) error
}

// do carries out one write.
func (d disk) do(path string, write func() error) error {
	if d.fault != nil {
		return d.fault(path, write)
	}
	return write()
}

// put replaces a file by the JSON of v, durably.
func (d disk) put(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return d.do(path, func() error { return durable.WriteFile(path, append(data, '\n'), 0o600) })
}

// get reads what put has written. The error wraps [fs.ErrNotExist] if there is
// nothing.
func (d disk) get(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return decode(path, data, v)
}

// decode refuses a newer format before it looks at anything else, because it
// may have been given another shape.
func decode(path string, data []byte, v any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if head.Format > format {
		return &FormatError{Path: path, Found: head.Format, Known: format}
	}
	if head.Format < 1 {
		return fmt.Errorf("reading %s: it has no format number", path)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// mkdir makes a directory that only its owner sees, durably, parents included.
func (d disk) mkdir(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := d.mkdir(parent); err != nil {
			return err
		}
	}
	return d.do(path, func() error {
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return durable.SyncDir(filepath.Dir(path))
	})
}

// remove deletes a file or a tree, durably. What is not there is no error.
func (d disk) remove(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return d.do(path, func() error {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		return durable.SyncDir(filepath.Dir(path))
	})
}

// appendLine adds one line to a log, durably. If a crash has torn the last
// line, the new one does not become part of it.
func (d disk) appendLine(path string, line []byte) error {
	return d.do(path, func() error { return appendLine(path, line) })
}

func appendLine(path string, line []byte) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if info.Size() == 0 {
		return durable.SyncDir(filepath.Dir(path))
	}
	return nil
}

// lock takes the lock at path and returns what releases it. If wait is false
// and somebody has it, the error is [errBusy].
func (d disk) lock(path string, wait bool) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errBusy
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

var errBusy = errors.New("somebody else has it")
