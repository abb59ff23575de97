package txn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// room is how much of the disk a rollback wants to find free before each of its
// steps: enough for the account files, twice, and for its own journal.
const room = 512 << 10

// reserveFor is how much disk is kept for a rollback: every file of the snapshot
// once more, as much again for what is saved on the way, and enough besides that
// somebody may take what is given free a few times.
func reserveFor(s *snapshot) int64 { return 2*s.size() + 8*room }

// makeRoom gives part of a transaction's reserve free if the disk is full. It
// gives half of what is left at a time, because whoever has filled the disk may
// take that as well.
//
// Whether the disk is full is found out by taking what is wanted: file systems
// keep blocks back, from root, too, that they count as free.
func (j *Journal) makeRoom(id string) {
	for {
		if hasRoom(j.path(id, "room")) == nil {
			return
		}
		more, err := j.disk.shrink(j.path(id, "reserve"))
		if err != nil {
			j.c.Log.Error("the reserve was not given free", "err", err)
		}
		if err != nil || !more {
			return
		}
	}
}

// hasRoom takes some of the disk and gives it back.
func hasRoom(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	return allocate(f, room)
}

// reserve takes n bytes of disk space that a rollback will need.
func (d disk) reserve(path string, n int64) error {
	return d.do(path, func() error { return reserve(path, n) })
}

func reserve(path string, n int64) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := allocate(f, n); err != nil {
		return fmt.Errorf("reserving %d bytes in %s: %w", n, path, err)
	}
	return f.Sync()
}

// shrink gives half of a reserve free, all of it when little is left, and reports
// whether there was anything to give.
func (d disk) shrink(path string) (bool, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	half := info.Size() / 2
	if half < room/2 {
		return true, d.remove(path)
	}
	return true, d.do(path, func() error { return os.Truncate(path, half) })
}
