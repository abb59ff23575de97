package resource

import (
	"context"
	"path"
	"regexp"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// accountFiles are those that the tools of shadow lock and write.
var accountFiles = []string{"passwd", "shadow", "group", "gshadow", "subuid", "subgid"}

// Sweep removes locks and drafts that a killed chpasswd, usermod or chage has
// left.
func (p Password) Sweep(ctx context.Context, h server.Host) error { return sweepAccounts(ctx, h) }

// Sweep removes locks and drafts that a killed chage has left.
func (a Aging) Sweep(ctx context.Context, h server.Host) error { return sweepAccounts(ctx, h) }

// lockOfProcess is how shadow names the file that it links to its lock: with the
// number of the process, which is also what the lock holds.
var lockOfProcess = regexp.MustCompile(`\.([0-9]+)$`)

// sweepAccounts removes what tools of shadow(5) leave in /etc when they are
// killed, and drafts of the vault. What a living process has locked stays.
func sweepAccounts(ctx context.Context, h server.Host) error {
	// pam_unix writes its draft under a lock that ends with its process.
	litter := []string{"/etc/nshadow", "/etc/npasswd"}
	for _, name := range accountFiles {
		locks, err := h.Glob(ctx, "/etc/"+name+".[0-9]*")
		if err != nil {
			return err
		}
		for _, p := range locks {
			m := lockOfProcess.FindStringSubmatch(p)
			if m == nil {
				continue
			}
			alive, err := isAlive(ctx, h, m[1])
			if err != nil {
				return err
			}
			if !alive {
				litter = append(litter, p)
			}
		}
		dead, err := lockIsDead(ctx, h, "/etc/"+name+".lock")
		if err != nil {
			return err
		}
		if dead {
			litter = append(litter, "/etc/"+name+".lock", "/etc/"+name+"+")
		}
	}
	drafts, err := h.Glob(ctx, vaultDir+"/.*.tmp")
	if err != nil {
		return err
	}
	for _, p := range append(litter, drafts...) {
		_, found, err := readEntry(ctx, h, p)
		if err != nil {
			return err
		}
		if found {
			if err := h.Remove(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockIsDead reports whether nobody holds a lock of shadow's: it is not there, or
// the process that it names is gone.
func lockIsDead(ctx context.Context, h server.Host, p string) (bool, error) {
	e, found, err := readEntry(ctx, h, p)
	if err != nil || !found {
		return err == nil, err
	}
	alive, err := isAlive(ctx, h, strings.Trim(e.Content, "\x00 \n"))
	return !alive, err
}

func isAlive(ctx context.Context, r server.Reader, pid string) (bool, error) {
	if pid == "" || strings.Trim(pid, "0123456789") != "" {
		return true, nil // not a lock that we know
	}
	_, found, err := readEntry(ctx, r, path.Join("/proc", pid))
	return found, err
}
