//go:build linux

package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var errTooMuch = fmt.Errorf("more than %d MiB would have to be copied", maxCopy>>20)

// dressLike gives the directory to the owner, mode and attributes of from.
func dressLike(from, to string) error {
	source, err := os.OpenFile(from, syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	return dressPath(source, to, info)
}

// dressPath gives to, a file or directory, the looks of the open source.
func dressPath(source *os.File, to string, info fs.FileInfo) error {
	attrs, err := xattrs(int(source.Fd()))
	if err != nil {
		return err
	}
	for name := range attrs {
		// A tmpfs knows no user attributes before Linux 6.6; overlayfs leaves them
		// out too when it copies.
		if strings.HasPrefix(name, "user.") {
			delete(attrs, name)
		}
	}
	target, err := os.OpenFile(to, syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	stat := info.Sys().(*syscall.Stat_t)
	d := dress{uid: int(stat.Uid), gid: int(stat.Gid), mode: info.Mode() & permissions, xattrs: attrs}
	return d.wear(target)
}

// copyTree copies what is in the directory from to the directory to, on one file
// system, and takes the bytes off the budget. Sockets, pipes and devices are
// left out.
func copyTree(from, to string, budget *int64) error {
	var top unix.Stat_t
	if err := unix.Stat(from, &top); err != nil {
		return err
	}
	return filepath.WalkDir(from+"/.", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil || rest == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Sys().(*syscall.Stat_t).Dev != top.Dev {
			if d.IsDir() {
				// The directory that something is mounted on.
				if err := os.Mkdir(filepath.Join(to, rest), 0o755); err != nil {
					return err
				}
				return fs.SkipDir
			}
			return nil
		}
		return copyOne(path, filepath.Join(to, rest), info, budget)
	})
}

func copyOne(from, to string, info fs.FileInfo, budget *int64) error {
	switch info.Mode().Type() {
	case 0:
		return copyFile(from, to, info, budget)
	case fs.ModeDir:
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return dressLike(from, to)
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, to); err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		return os.Lchown(to, int(stat.Uid), int(stat.Gid))
	}
	return nil
}

// copyFile copies content, owner, mode, attributes and time of a file.
func copyFile(from, to string, info fs.FileInfo, budget *int64) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(target, io.LimitReader(source, *budget+1))
	if err := errors.Join(err, target.Close()); err != nil {
		return err
	}
	if *budget -= n; *budget < 0 {
		return errTooMuch
	}
	if err := dressPath(source, to, info); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}
