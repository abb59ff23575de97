//go:build linux

package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The account databases. They are read directly, without NSS: a daemon that
// waits for a directory service could not secure the machine while that is down.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// names are the account names of the view that this process has.
type names struct {
	mu             sync.Mutex
	passwd, groups ids
}

// ids is one database as it was when it had the stamp.
type ids struct {
	stamp  stamp
	byID   map[uint32]string
	byName map[string]uint32
}

// A stamp differs whenever a file was changed or replaced.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

// settled is how old a change must be for a stamp to be trusted: two changes
// within one tick of the kernel's clock (at most 10 ms) have one ctime.
const settled = 100 * time.Millisecond

func (n *names) user(id uint32) (string, error)  { return n.name(&n.passwd, passwdFile, id) }
func (n *names) group(id uint32) (string, error) { return n.name(&n.groups, groupFile, id) }

func (n *names) userID(name string) (int, error)  { return n.id(&n.passwd, passwdFile, name) }
func (n *names) groupID(name string) (int, error) { return n.id(&n.groups, groupFile, name) }

func (n *names) name(t *ids, file string, id uint32) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := t.refresh(file); err != nil {
		return "", err
	}
	if name, ok := t.byID[id]; ok {
		return name, nil
	}
	return strconv.FormatUint(uint64(id), 10), nil
}

func (n *names) id(t *ids, file, name string) (int, error) {
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return int(id), nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := t.refresh(file); err != nil {
		return 0, err
	}
	if id, ok := t.byName[name]; ok {
		return int(id), nil
	}
	return 0, fmt.Errorf("%s has no %q", file, name)
}

func (t *ids) refresh(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("reading account names: %w", err)
	}
	st := info.Sys().(*syscall.Stat_t)
	now := stamp{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
	if t.byID != nil && t.stamp == now {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading account names: %w", err)
	}
	t.byID, t.byName = parseIDs(string(content))
	t.stamp = now
	if age := time.Since(time.Unix(st.Ctim.Unix())); age < settled {
		t.stamp = stamp{}
	}
	return nil
}

// parseIDs reads lines of "name:password:id:…". Of several names for one id the
// first counts, as in getpwuid. Names that are numbers are left out: nobody
// could tell them from ids.
func parseIDs(content string) (map[uint32]string, map[string]uint32) {
	byID, byName := map[uint32]string{}, map[string]uint32{}
	for line := range strings.Lines(content) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 4)
		if len(fields) < 4 || fields[0] == "" {
			continue
		}
		id, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			continue
		}
		if _, err := strconv.ParseUint(fields[0], 10, 32); err == nil {
			continue
		}
		if _, ok := byID[uint32(id)]; !ok {
			byID[uint32(id)] = fields[0]
		}
		if _, ok := byName[fields[0]]; !ok {
			byName[fields[0]] = uint32(id)
		}
	}
	return byID, byName
}
