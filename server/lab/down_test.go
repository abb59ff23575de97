package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// belongings are what a lab has on its machine.
type belongings struct {
	pids       []int
	namespaces map[string]bool // network namespaces
	desk       string          // the machine's interface, with its number
}

func belongingsOf(t *testing.T, l *lab.Lab) belongings {
	t.Helper()
	pids, err := l.Pids()
	if err != nil {
		t.Fatal(err)
	}
	b := belongings{pids: pids, namespaces: map[string]bool{}}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil && ns != ours {
			b.namespaces[ns] = true
		}
	}
	for _, line := range lines(t, "/proc/self/mountinfo") {
		if f := strings.Fields(line); strings.HasPrefix(f[4], l.Dir()+"/") && strings.HasPrefix(f[3], "net:") {
			b.namespaces[f[3]] = true
		}
	}
	b.desk = ifindex(l.DeskLink())
	return b
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func ifindex(name string) string {
	data, err := os.ReadFile("/sys/class/net/" + name + "/ifindex")
	if err != nil {
		return ""
	}
	return name + " " + string(data)
}

// takeDown takes a lab down and shows that nothing of it is left.
func takeDown(t *testing.T, l *lab.Lab) {
	t.Helper()
	had := belongingsOf(t, l)
	if len(had.pids) == 0 || len(had.namespaces) == 0 || had.desk == "" {
		t.Errorf("what the lab has was not found: %+v", had)
	}
	takeDownHalf(t, l, had)
}

func takeDownHalf(t *testing.T, l *lab.Lab, had belongings) {
	t.Helper()
	// The kernel gives the number of a namespace that is gone to the next one,
	// so only processes that were there before count.
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, pid := range had.pids {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil && !zombie(pid) {
			t.Errorf("process %d is left", pid)
		}
	}
	for _, line := range lines(t, "/proc/self/mountinfo") {
		ns := strings.Fields(line)[3]
		if strings.Contains(line, l.Dir()+"/") || had.namespaces[ns] {
			t.Errorf("mount is left: %s", line)
		}
	}
	for _, link := range links {
		if ns, err := os.Readlink(link); err == nil && had.namespaces[ns] {
			t.Errorf("namespace is left: %s of %s", ns, link)
		}
	}
	if now := ifindex(l.DeskLink()); now != "" && now == had.desk {
		t.Errorf("interface is left: %s", now)
	}
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(data), l.Dir()+"/") {
			t.Errorf("loop device is left: %s of %s", file, data)
		}
	}
	paths := append(l.Groups(), l.Dir())
	for _, s := range l.Servers() {
		paths = append(paths, "/run/systemd/nspawn/propagate/"+s.Machine())
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
	if _, err := lab.Open(l.ID()); !errors.Is(err, lab.ErrDown) {
		t.Errorf("open a lab that is down: %v", err)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Errorf("down twice: %v", err)
	}
}

func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(data), ") Z ")
}

// childLab names the variable that turns the test program into one that puts
// the lab with this id up and waits to be killed.
const childLab = "HOLDFAST_TEST_LAB"

func TestMain(m *testing.M) {
	id := os.Getenv(childLab)
	if id == "" {
		os.Exit(m.Run())
	}
	o := lab.Options{Servers: []string{"one", "two"}, Layer: lab.Disk, Ephemeral: true}
	if _, err := lab.Up(context.Background(), id, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// The standard input ends if the test ends without killing.
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// Whenever the process that puts a lab up is killed, Down leaves nothing.
func TestKilled(t *testing.T) {
	labtest.Require(t)
	// The image is built before, not in a process that is killed.
	takeDown(t, labtest.Lab(t, lab.Options{Servers: []string{"one"}}))
	for _, moment := range []string{"", "switch", "servers/two/layer/upper", "servers/one/console.log", "servers/one/leader.json", "../known_hosts"} {
		t.Run("at "+moment, func(t *testing.T) {
			id := labtest.ID()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childLab+"="+id)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			for seen := false; !seen; {
				l, err := lab.Open(id)
				if err == nil {
					_, err = os.Stat(filepath.Join(l.Mounts(), moment))
				}
				seen = err == nil
				select {
				case err := <-ended:
					t.Fatalf("ended before it was killed: %v: %s", err, out.String())
				default:
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-ended
			l, err := lab.Open(id)
			if err != nil {
				t.Fatal(err)
			}
			takeDownHalf(t, l, belongingsOf(t, l))
		})
	}
}
