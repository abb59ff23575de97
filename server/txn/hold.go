package txn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dpkgLock is the lock that every front end of dpkg takes before it works.
const dpkgLock = "/var/lib/dpkg/lock-frontend"

// holdLimit is how long to wait for a package manager that is at work.
const holdLimit = time.Minute

// HoldDpkg keeps apt and unattended upgrades from working until release is
// called; it is meant for [Config.Hold]. On a machine without dpkg there is
// nothing to hold.
func HoldDpkg(ctx context.Context) (release func(), err error) {
	return holdFile(ctx, dpkgLock, holdLimit)
}

func holdFile(ctx context.Context, path string, limit time.Duration) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		// dpkg uses fcntl(2), not flock(2).
		err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("a package manager is at work and holds %s: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}
