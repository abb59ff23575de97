// Package durable replaces files so that a reader sees the old or the new one
// as a whole, and so that the new one survives a power cut once the call has
// returned.
//
// The sequence of system calls of [WriteFile] is, in this order:
//
//  1. open(".NAME.RANDOM.tmp", O_RDWR|O_CREAT|O_EXCL, 0600) in the directory of
//     the file, because rename works within one file system only
//  2. write of the whole content
//  3. fchmod to the wanted mode, which the umask does not touch
//  4. fsync of the file (F_FULLFSYNC on macOS), before the new name can exist:
//     else a crash may leave the new name on an empty file
//  5. close
//  6. rename over the file
//  7. open, fsync and close of the directory, which makes the rename durable
//
// If something fails before step 6, the file is untouched and the temporary one
// is removed. If step 7 fails, the new file is in place but a power cut may
// bring the old one back; the error is returned and calling again is safe. A
// crash before step 6 leaves a temporary file behind; its name begins with a dot
// and ends in ".tmp", so no include pattern such as "*.conf" picks it up.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile puts data at path with the permission, setuid, setgid and sticky
// bits of mode, whatever the umask. The directory must exist. A symbolic link
// at path is replaced, not followed. The file belongs to the caller.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return Replace(path, func(f *os.File) error {
		if _, err := f.Write(data); err != nil {
			return err
		}
		return f.Chmod(mode)
	})
}

// WriteNew is [WriteFile] for a file that must not exist yet: in step 6 it links
// the temporary file to path and removes its first name, so that a file, link or
// directory that is there is never overwritten, whoever made it and when. The
// error then wraps [fs.ErrExist].
func WriteNew(path string, data []byte, mode fs.FileMode) error {
	return put(path, os.Link, func(f *os.File) error {
		if _, err := f.Write(data); err != nil {
			return err
		}
		return f.Chmod(mode)
	})
}

// Replace is [WriteFile] for a file that takes more than content and mode, such
// as an owner: fill does steps 2 and 3 on the temporary file, which has mode
// 0600. fill must not close it.
func Replace(path string, fill func(f *os.File) error) error {
	return put(path, os.Rename, fill)
}

// put makes a temporary file, has it filled, and gives it its place with move.
func put(path string, move func(from, to string) error, fill func(f *os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("making a temporary file for %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // a rename has taken it away already
	defer f.Close()           // closed already unless an earlier step failed
	if err := fill(f); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := syncFile(f); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := move(f.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Rename moves from to to, replacing what is there, and makes both directories
// durable. What from holds must have been synced before.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	if filepath.Dir(from) == filepath.Dir(to) {
		return nil
	}
	return SyncDir(filepath.Dir(from))
}

// SyncDir makes the names in the directory durable: what was created, renamed
// or removed in it before the call survives a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing directory: %w", err)
	}
	return nil
}
