//go:build linux

package machine

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// A place is a directory that a World has a copy of its own of. Everything else
// is read-only in a World, except /proc and /dev, which are as they are.
type place struct {
	path string
	// empty means that the World begins with nothing there.
	empty bool
	// alone means that what is mounted below is not shown: for /run that are
	// containers and the sessions of people.
	alone bool
	// parts are what is copied instead where an overlay cannot be mounted; nil
	// means the whole place. They also say which file systems mounted below the
	// place are needed.
	parts []place
	why   string
}

// places is the list of them.
func places() []place {
	return []place{
		{path: "/etc", why: "what is configured"},
		{path: "/home", why: "accounts are made and get their keys there"},
		{path: "/root", why: "root's keys"},
		{path: "/run", alone: true, why: "login tools write there (faillock, sudo, utmp), and its sockets lead to the live managers"},
		{path: "/usr/share/pam-configs", why: "pam-auth-update takes its profiles from there"},
		{path: "/var", why: "what login tools keep is spread over it", parts: []place{
			{path: "/var/lib/pam", why: "pam-auth-update keeps there what is enabled"},
			{path: "/var/lib/sudo", why: "sudo keeps there who was lectured"},
			{path: "/var/lib/lastlog", why: "last logins in Debian 13"},
			{path: "/var/lib/wtmpdb", why: "logins in Debian 13"},
			{path: server.StateDir, why: "the key of digests, and replaced secrets"},
			{path: "/var/mail", why: "useradd makes a mailbox"},
			{path: "/var/cache/debconf", why: "pam-auth-update keeps its answers there"},
			{path: "/var/log", empty: true, why: "logins are logged in btmp, wtmp and lastlog"},
			{path: "/var/tmp", empty: true, why: "drafts of commands"},
		}},
		{path: "/tmp", empty: true, why: "drafts of commands"},
		{path: "/dev/shm", empty: true, why: "drafts of commands"},
	}
}

// present returns the places that this machine has, without links, and with the
// homes of people that are elsewhere. What lies in another place is left out.
func present() ([]place, error) {
	homes, err := otherHomes()
	if err != nil {
		return nil, err
	}
	var all []place
	for _, p := range append(places(), homes...) {
		path, err := filepath.EvalSymlinks(p.path)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.path = path
		if !slices.ContainsFunc(all, func(q place) bool { return within(p.path, q.path) }) {
			all = append(all, p)
		}
	}
	return all, nil
}

// otherHomes are the directories that hold homes of people outside /home, such
// as /srv or /data/home.
func otherHomes() ([]place, error) {
	content, err := os.ReadFile(passwdFile)
	if err != nil {
		return nil, err
	}
	var all []place
	for line := range strings.Lines(string(content)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) != 7 || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		id, err := strconv.Atoi(fields[2])
		if err != nil || id < 1000 || id == 65534 {
			continue
		}
		dir := filepath.Dir(filepath.Clean(fields[5]))
		if dir == "/" {
			dir = filepath.Clean(fields[5])
		}
		if dir == "/" || slices.ContainsFunc([]string{"/proc", "/sys", "/dev", "/usr", "/bin", "/sbin"},
			func(no string) bool { return within(dir, no) }) {
			continue
		}
		all = append(all, place{path: dir, why: "homes of people"})
	}
	return all, nil
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// needs reports whether a World needs the file system that is mounted at path
// below the place.
func (p place) needs(m mount) bool {
	if m.path == p.path || !within(m.path, p.path) || p.empty || p.alone {
		return false
	}
	// Looking at one of these may wait for somebody, or makes no sense.
	switch kind, _, _ := strings.Cut(m.kind, "."); kind {
	case "autofs", "fuse", "proc", "sysfs", "nsfs", "cgroup", "cgroup2", "devpts", "mqueue":
		return false
	}
	if p.parts == nil {
		return true
	}
	return slices.ContainsFunc(p.parts, func(q place) bool {
		return !q.empty && (within(m.path, q.path) || within(q.path, m.path))
	})
}

// A mount is one line of /proc/self/mountinfo.
type mount struct{ path, kind string }

func mounts() ([]mount, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mount
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m, err := parseMount(lines.Text())
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, lines.Err()
}

// parseMount reads a line such as
// "36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw" (proc(5)).
func parseMount(line string) (mount, error) {
	front, back, ok := strings.Cut(line, " - ")
	fields, kind := strings.Fields(front), strings.Fields(back)
	if !ok || len(fields) < 6 || len(kind) < 1 {
		return mount{}, fmt.Errorf("/proc/self/mountinfo: unknown line %q", line)
	}
	path := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
	return mount{path: path, kind: kind[0]}, nil
}
