package txn

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot is the time since the machine started, sleep included.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0 // cannot happen since Linux 2.6.39
	}
	return time.Duration(ts.Nano())
}

// allocate takes n bytes of disk for f.
func allocate(f *os.File, n int64) error { return unix.Fallocate(int(f.Fd()), 0, 0, n) }

// inMemory refuses a directory whose files reach a disk.
func inMemory(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if s.Type != unix.TMPFS_MAGIC && s.Type != unix.RAMFS_MAGIC {
		return fmt.Errorf("%s is not in memory; secrets must not reach a disk", dir)
	}
	return nil
}

// syncAll makes durable what commands have written: account tools and package
// managers sync only some of it. It waits for the file systems that hold the
// configuration of a server and for no other.
func syncAll() error {
	done := map[uint64]bool{}
	for _, dir := range []string{"/", "/etc", "/home", "/opt", "/root", "/usr", "/var", "/var/lib"} {
		if err := syncOne(dir, done); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("syncing the file system of %s: %w", dir, err)
		}
	}
	return nil
}

func syncOne(dir string, done map[uint64]bool) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil || done[s.Dev] {
		return err
	}
	done[s.Dev] = true
	return unix.Syncfs(int(f.Fd()))
}
