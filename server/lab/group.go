package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A group is a control group, named by its path below the lab's corner of the
// unified hierarchy. What is started in a group cannot leave it, so a group
// finds every process of a server, and cgroup.kill ends them at once.
type group string

// groupRoot is the directory in each hierarchy where all groups are.
const groupRoot = "holdfast-lab"

// A mountPoint is one line of mountinfo.
type mountPoint struct{ path, kind string }

func mountPoints() ([]mountPoint, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("mounts: %w", err)
	}
	return parseMountInfo(string(data)), nil
}

// parseMountInfo reads the format of proc_pid_mountinfo(5) and leaves out what
// does not have it.
func parseMountInfo(text string) []mountPoint {
	var points []mountPoint
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 1 {
			continue
		}
		points = append(points, mountPoint{path: unescape(left[4]), kind: right[0]})
	}
	return points
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// hierarchies returns where the unified hierarchy is mounted, and all others.
func hierarchies() (unified string, all []string, err error) {
	points, err := mountPoints()
	if err != nil {
		return "", nil, err
	}
	for _, p := range points {
		switch p.kind {
		case "cgroup2":
			unified = p.path
			all = append(all, p.path)
		case "cgroup":
			all = append(all, p.path)
		}
	}
	if unified == "" {
		return "", nil, errors.New("no unified control group hierarchy is mounted")
	}
	return unified, all, nil
}

func (g group) path() (string, error) {
	unified, _, err := hierarchies()
	return filepath.Join(unified, groupRoot, string(g)), err
}

// start starts cmd in the group, which is made if need be. The process is
// waited for in the background and lives on when this one ends.
func (g group) start(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	path, err := g.path()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	defer dir.Close()
	extra := cmd.SysProcAttr
	inGroup(cmd, dir)
	mergeAttr(cmd.SysProcAttr, extra)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	done := make(chan struct{})
	go func() {
		// How it ended is read from what it left behind, also by others.
		_ = cmd.Wait()
		close(done)
	}()
	return done, nil
}

// pids returns the processes in the group and below, as this machine counts.
func (g group) pids() ([]int, error) {
	path, err := g.path()
	if err != nil {
		return nil, err
	}
	var pids []int
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "cgroup.procs" {
			return gone(err)
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return gone(err)
		}
		for field := range strings.FieldsSeq(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
			pids = append(pids, pid)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("processes of %s: %w", g, err)
	}
	return pids, nil
}

// gone forgives a group that vanished while it was looked at.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoDevice) {
		return nil
	}
	return err
}

func (g group) populated() (bool, error) {
	path, err := g.path()
	if err != nil {
		return false, err
	}
	data, err := os.ReadFile(filepath.Join(path, "cgroup.events"))
	if err != nil {
		return false, gone(err)
	}
	return strings.Contains(string(data), "populated 1"), nil
}

// wait returns when the group has no process any more.
func (g group) wait(ctx context.Context) error {
	for {
		alive, err := g.populated()
		if err != nil {
			return err
		}
		if !alive {
			return nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the end of %s: %w", g, err)
		}
	}
}

// kill ends every process of the group and below, and removes the group from
// all hierarchies. There need not be such a group.
func (g group) kill(ctx context.Context) error {
	path, err := g.path()
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0)
	if gone(err) != nil {
		return fmt.Errorf("kill %s: %w", g, err)
	}
	if err := g.wait(ctx); err != nil {
		return err
	}
	_, all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range all {
		if e := removeGroups(filepath.Join(root, groupRoot, string(g))); e != nil {
			err = errors.Join(err, fmt.Errorf("remove control group: %w", e))
		}
	}
	return err
}

// removeGroups removes a directory of control groups from its leaves up. Files
// in it go with their directory.
func removeGroups(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return gone(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroups(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return gone(os.Remove(path))
}

// initOf finds the process in the group that is number 1 of a process namespace
// directly below ours, and has a network of its own. It returns 0 if there is
// none (yet).
func (g group) initOf() (int, error) {
	pids, err := g.pids()
	if err != nil {
		return 0, err
	}
	ours, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid)
		status, err := os.ReadFile(dir + "/status")
		if err != nil {
			continue // ended meanwhile
		}
		_, after, _ := strings.Cut(string(status), "\nNSpid:")
		line, _, _ := strings.Cut(after, "\n")
		numbers := strings.Fields(line)
		net, err := os.Readlink(dir + "/ns/net")
		if err == nil && len(numbers) == 2 && numbers[1] == "1" && net != ours {
			return pid, nil
		}
	}
	return 0, nil
}
