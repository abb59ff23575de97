//go:build linux

package machine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-security/holdfast/internal/durable"
	"github.com/holdfast-security/holdfast/server"
)

// permissions are the bits of a mode that chmod sets.
const permissions = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// Write puts e at path; see server.Host. A file may take the place of a link and
// a link that of a file; anything else that changes the kind of what is there is
// an error.
func (m *Machine) Write(ctx context.Context, path string, e server.Entry) error {
	if err := usable(ctx, path); err != nil {
		return err
	}
	put, err := m.writer(e)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	unlock, err := lock(ctx, filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer unlock()
	if err := sweep(path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	there := fs.FileMode(0)
	info, err := os.Lstat(path)
	switch {
	case err == nil:
		there = info.Mode().Type()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err == nil && there != e.Mode.Type() && (there|e.Mode.Type())&^fs.ModeSymlink != 0 {
		return fmt.Errorf("writing %s: a %s cannot take the place of a %s", path, kindOf(e.Mode), kindOf(there))
	}
	return put(path, info)
}

// writer checks e and returns what puts it at a path, where now is what is there
// or nil.
func (m *Machine) writer(e server.Entry) (func(path string, now fs.FileInfo) error, error) {
	uid, err := m.names.userID(e.Owner)
	if err != nil {
		return nil, err
	}
	gid, err := m.names.groupID(e.Group)
	if err != nil {
		return nil, err
	}
	d := dress{uid: uid, gid: gid, mode: e.Mode & permissions, xattrs: e.Xattrs}
	switch e.Mode.Type() {
	case 0:
		if len(e.Content) > MaxFile {
			return nil, fmt.Errorf("the content is %w", ErrTooLarge)
		}
		return func(path string, _ fs.FileInfo) error {
			return durable.Replace(path, func(f *os.File) error {
				if _, err := f.WriteString(e.Content); err != nil {
					return err
				}
				return d.wear(f)
			})
		}, nil
	case fs.ModeDir:
		if e.Content != "" {
			return nil, errors.New("a directory has no content")
		}
		return func(path string, now fs.FileInfo) error {
			if now != nil {
				return d.change(path)
			}
			return d.makeDir(path)
		}, nil
	case fs.ModeSymlink:
		if e.Content == "" || len(e.Xattrs) > 0 {
			return nil, errors.New("a link needs a target and has no extended attributes")
		}
		return func(path string, _ fs.FileInfo) error { return d.makeLink(path, e.Content) }, nil
	}
	return nil, fmt.Errorf("cannot make a %s", kindOf(e.Mode))
}

func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "link"
	}
	return "special file"
}

// dress is what an entry has around its content.
type dress struct {
	uid, gid int
	mode     fs.FileMode
	xattrs   map[string]string
}

// wear gives an open file its owner, attributes and mode. chown comes first,
// because it takes away capabilities and setuid; the mode comes last, because an
// access control list changes it.
func (d dress) wear(f *os.File) error {
	if err := f.Chown(d.uid, d.gid); err != nil {
		return err
	}
	if err := setXattrs(int(f.Fd()), d.xattrs); err != nil {
		return err
	}
	return f.Chmod(d.mode)
}

// change dresses a directory that exists. It is at no time open to more people
// than before or after.
func (d dress) change(path string) error {
	f, err := os.OpenFile(path, syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := f.Chmod(info.Mode() & d.mode & permissions); err != nil {
		return err
	}
	if err := d.wear(f); err != nil {
		return fmt.Errorf("changing %s: %w", path, err)
	}
	return f.Sync()
}

func (d dress) makeDir(path string) (err error) {
	draft := draftOf(path)
	if err := os.Mkdir(draft, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(draft)
		}
	}()
	f, err := os.OpenFile(draft, syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := d.wear(f); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Renameat2(unix.AT_FDCWD, draft, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("making %s: %w", path, err)
	}
	return durable.SyncDir(filepath.Dir(path))
}

func (d dress) makeLink(path, target string) error {
	draft := draftOf(path)
	err := os.Symlink(target, draft)
	if err == nil {
		err = os.Lchown(draft, d.uid, d.gid)
	}
	if err == nil {
		err = durable.Rename(draft, path)
	}
	if err != nil {
		os.Remove(draft) // gone already if the rename was done
	}
	return err
}

// Remove deletes what is at path; see server.Host.
func (m *Machine) Remove(ctx context.Context, path string) error {
	if err := usable(ctx, path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	unlock, err := lock(ctx, dir)
	if missing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	defer unlock()
	if err := sweep(path); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also if nothing was there: an earlier call may have been cut off before.
	return durable.SyncDir(dir)
}

// draftOf returns a name for a draft of path, of the form that package
// internal/durable uses.
func draftOf(path string) string {
	var random [4]byte
	rand.Read(random[:])
	n := strconv.FormatUint(uint64(binary.NativeEndian.Uint32(random[:])), 10)
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+n+".tmp")
}

// sweep deletes the drafts of path that a crash has left. The caller holds the
// lock of the directory, so none of them is in use.
func sweep(path string) error {
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)+"."
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		number, ok2 := strings.CutSuffix(number, ".tmp")
		if _, err := strconv.ParseUint(number, 10, 32); !ok || !ok2 || err != nil {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("deleting the draft of an earlier run: %w", err)
		}
	}
	return nil
}

// lock keeps other Machines, in other processes too, from writing in dir.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.OpenFile(dir, syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for the lock of %s: %w", dir, context.Cause(ctx))
		}
	}
}
