//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// MaxFile is how large a file may be to be read or written, in bytes. The files
// that hold a configuration are far smaller; what is larger was not meant to be
// read whole.
const MaxFile = 16 << 20

// ErrTooLarge is wrapped by errors about a file of more than [MaxFile] bytes.
var ErrTooLarge = fmt.Errorf("larger than %d MiB", MaxFile>>20)

// A Machine is the machine that this process runs on. It may be used by several
// goroutines.
type Machine struct {
	names names
}

var (
	_ server.Host      = (*Machine)(nil)
	_ server.Rehearser = (*Machine)(nil)
)

// New returns this machine.
func New() *Machine { return &Machine{} }

// Read returns what is at path; see server.Reader. What is neither a file, a
// directory nor a link is an error, as is a file of more than [MaxFile] bytes
// ([ErrTooLarge]).
func (m *Machine) Read(ctx context.Context, path string) (server.Entry, error) {
	if err := usable(ctx, path); err != nil {
		return server.Entry{}, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return server.Entry{}, err
	}
	switch info.Mode().Type() {
	case 0, fs.ModeDir:
		return m.readOpen(path, info.Mode().Type())
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return server.Entry{}, err
		}
		e, err := m.entry(info)
		e.Content = target
		return e, err
	}
	return server.Entry{}, fmt.Errorf("%s is neither a file, a directory nor a link but %v", path, info.Mode())
}

// readOpen reads a file or directory through one descriptor, so that content,
// owner and attributes are those of one inode.
func (m *Machine) readOpen(path string, kind fs.FileMode) (server.Entry, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return server.Entry{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return server.Entry{}, err
	}
	if info.Mode().Type() != kind {
		return server.Entry{}, fmt.Errorf("%s was replaced while it was read", path)
	}
	e, err := m.entry(info)
	if err != nil {
		return server.Entry{}, err
	}
	if e.Xattrs, err = xattrs(int(f.Fd())); err != nil {
		return server.Entry{}, fmt.Errorf("reading the extended attributes of %s: %w", path, err)
	}
	if kind == fs.ModeDir {
		return e, nil
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return server.Entry{}, err
	}
	if len(content) > MaxFile {
		return server.Entry{}, fmt.Errorf("%s is %w", path, ErrTooLarge)
	}
	e.Content = string(content)
	return e, nil
}

func (m *Machine) entry(info fs.FileInfo) (server.Entry, error) {
	stat := info.Sys().(*syscall.Stat_t)
	owner, err := m.names.user(stat.Uid)
	if err != nil {
		return server.Entry{}, err
	}
	group, err := m.names.group(stat.Gid)
	if err != nil {
		return server.Entry{}, err
	}
	return server.Entry{
		Mode:    info.Mode(),
		Owner:   owner,
		Group:   group,
		Changed: time.Unix(stat.Ctim.Unix()),
	}, nil
}

// usable refuses what can only be a mistake of the caller.
func usable(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return fmt.Errorf("%q is not a plain absolute path", path)
	}
	return nil
}

// missing reports whether err says that there is nothing at a path, including
// that something above it is not a directory.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
