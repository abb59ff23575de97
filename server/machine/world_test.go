//go:build linux

package machine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/machine"
)

// script runs a shell in the World, for tests that need many programs.
func script(t *testing.T, w *machine.World, stdin, text string) string {
	t.Helper()
	// Output has no standard input.
	if err := w.Write(t.Context(), "/tmp/stdin", server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: stdin}); err != nil {
		t.Fatal(err)
	}
	out, err := w.Output(t.Context(), "sh", "-euc", "exec 2>&1 </tmp/stdin\n"+text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func enter(t testing.TB, o machine.Options) *machine.World {
	t.Helper()
	w, err := machine.New().Enter(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// TestLogsHearNothing compares a World with the live machine, on one that has
// a journal.
func TestLogsHearNothing(t *testing.T) {
	needRoot(t)
	if _, err := os.Stat("/run/systemd/journal/socket"); err != nil {
		if os.Getenv(onServer) != "" {
			t.Fatal(err)
		}
		t.Log("there is no journal here; TestOnServers runs this where there is one")
		return
	}
	live, w := machine.New(), enter(t, machine.Options{})
	script(t, w, "hfquiet:Kj7#vuWq2!xRt9\n", "useradd hfquiet; chpasswd; logger from-hfquiet; su -c true hfquiet; echo from-hfquiet | systemd-cat; sleep 0.2")
	if err := live.Run(t.Context(), "", "logger", "from-hfloud"); err != nil {
		t.Fatal(err)
	}
	if err := live.Run(t.Context(), "", "journalctl", "--sync"); err != nil {
		t.Fatal(err)
	}
	out, err := live.Output(t.Context(), "journalctl", "--no-pager", "--boot", "--output", "cat")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "from-hfloud") {
		t.Error("the journal does not show what the live machine logs, so this test shows nothing")
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "hfquiet") {
			t.Errorf("the journal shows: %s", line)
		}
	}
}

func TestQuestionsToManagers(t *testing.T) {
	needRoot(t)
	w := enter(t, machine.Options{})
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		out, err := w.Output(t.Context(), "systemctl", "show", "-p", "ActiveState", "--value", "ssh.service")
		if err != nil || out != "active\n" {
			t.Errorf("systemctl show: %q, %v", out, err)
		}
		// Not through our own refusal.
		if out, err := w.Output(t.Context(), "sh", "-c", "systemctl stop ssh 2>&1"); err == nil {
			t.Errorf("a script in the World stopped a unit: %s", out)
		}
	} else if os.Getenv(onServer) != "" {
		t.Error(err)
	}
	for _, argv := range [][]string{
		{"systemctl", "stop", "ssh"}, {"systemctl", "-p", "show", "stop", "ssh"}, {"/usr/bin/systemctl", "daemon-reload"},
		{"timedatectl", "set-ntp", "true"}, {"busctl", "call"},
	} {
		if _, err := w.Output(t.Context(), argv...); !errors.Is(err, machine.ErrNotInWorld) {
			t.Errorf("Output %q: %v", argv, err)
		}
	}
	if out, err := w.Output(t.Context(), "dpkg-query", "-W", "-f", "${Status}", "dpkg"); err != nil || out != "install ok installed" {
		t.Errorf("dpkg-query: %q, %v", out, err)
	}
}

// auditEnv makes TestMain say whether the kernel can be told to log.
const auditEnv = "HOLDFAST_TEST_AUDIT"

func tryAudit() {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT)
	unix.Close(fd)
	other, other2 := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	unix.Close(other)
	fmt.Println(err, other2, unix.Sethostname([]byte("x")))
}

func TestNoAuditInWorld(t *testing.T) {
	needRoot(t)
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	w := enter(t, machine.Options{})
	e := server.Entry{Mode: 0o755, Owner: "root", Group: "root", Content: string(program)}
	if err := w.Write(t.Context(), "/tmp/program", e); err != nil {
		t.Fatal(err)
	}
	got, err := w.Output(t.Context(), "env", auditEnv+"=1", "/tmp/program")
	want := fmt.Sprintln(syscall.EAFNOSUPPORT, nil, syscall.EPERM)
	if err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestNetworkPrograms(t *testing.T) {
	needRoot(t)
	argv := []string{"ip", "link", "set", "lo", "mtu", "1400"}
	if err := enter(t, machine.Options{}).Run(t.Context(), "", argv...); !errors.Is(err, machine.ErrNotInWorld) {
		t.Errorf("in the machine's network: %v", err)
	}
	if err := enter(t, machine.Options{Network: true}).Run(t.Context(), "", argv...); err != nil {
		t.Errorf("in a network of its own: %v", err)
	}
}

// A World with a network of its own shows the live machine's tables until it is
// given one.
func TestPacketFilters(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("nft"); err != nil {
		t.Log("there is no nft here; TestOnServers runs this where there is one")
		return
	}
	live, w := machine.New(), enter(t, machine.Options{Network: true})
	list := func(r server.Reader) string {
		out, err := r.Output(t.Context(), "nft", "list", "tables")
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := list(live)
	if got := list(w); got != before {
		t.Errorf("the World shows %q and the machine %q", got, before)
	}
	if err := w.Run(t.Context(), "table inet hfworld {\n}\n", "nft", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	if got := list(w); got != "table inet hfworld\n" {
		t.Errorf("the World shows %q", got)
	}
	if got := list(live); got != before {
		t.Errorf("the machine shows %q", got)
	}
}

func TestWhatIsMountedBelow(t *testing.T) {
	lines := []string{
		`36 25 0:32 / /home rw - ext4 /dev/sda2 rw`,
		`37 36 0:33 / /home/a\040b rw,nosuid shared:7 master:1 - nfs4 server:/x rw`,
		`38 36 0:34 / /home/slow rw - fuse.sshfs x rw`,
		`39 36 0:35 / /homeless rw - ext4 /dev/sda3 rw`,
		`40 25 0:36 / /var/lib rw - xfs /dev/sda4 rw`,
		`41 40 0:37 / /var/lib/docker/overlay2/1/merged rw - overlay overlay rw`,
		`42 40 0:38 / /var/lib/holdfast rw - ext4 /dev/sda5 rw`,
		`43 25 0:39 / /run/user/1000 rw - tmpfs tmpfs rw`,
	}
	for path, want := range map[string][]string{
		"/home": {"/home/a b"}, "/var": {"/var/lib", "/var/lib/holdfast"}, "/run": nil, "/etc": nil,
	} {
		got, err := machine.Needed(path, lines...)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if got, err := machine.Needed("/home", "36 25 0:32 / /home rw ext4"); err == nil {
		t.Errorf("a broken line: %q", got)
	}
}

// TestMountsBelow mounts a file system and a file below a place, in a mount
// namespace of its own.
func TestMountsBelow(t *testing.T) {
	needRoot(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), belowEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "disk\nfile\n" {
		t.Errorf("a World shows %q, %v", out, err)
	}
}

// belowEnv makes TestMain look at a World of a machine with mounts.
const belowEnv = "HOLDFAST_TEST_BELOW"

func lookBelow(dir string) error {
	source := filepath.Join(dir, "source")
	for path, content := range map[string]string{source: "file\n", filepath.Join(dir, "home"): ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	if err := errors.Join(
		unix.Mount("x", "/home", "tmpfs", 0, ""),
		os.Mkdir("/home/a b", 0o755),
		unix.Mount("x", "/home/a b", "tmpfs", 0, ""),
		os.WriteFile("/home/a b/key", []byte("disk\n"), 0o600),
		os.WriteFile("/home/file", nil, 0o600),
		unix.Mount(source, "/home/file", "", unix.MS_BIND, ""),
	); err != nil {
		return err
	}
	ctx := context.Background()
	w, err := machine.New().Rehearse(ctx)
	if err != nil {
		return err
	}
	defer w.Close()
	out, err := w.Output(ctx, "cat", "/home/a b/key", "/home/file")
	fmt.Print(out)
	return errors.Join(err,
		w.Run(ctx, "changed", "tee", "/home/a b/key", "/home/file"),
		unchanged("/home/a b/key", "disk\n"), unchanged(source, "file\n"))
}

func unchanged(path, content string) error {
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		return fmt.Errorf("%s became %q, %w", path, got, err)
	}
	return nil
}

func TestCanary(t *testing.T) {
	needRoot(t)
	client := netip.MustParseAddr("203.0.113.9")
	hosts := []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")}
	w := enter(t, machine.Options{Network: true, Addresses: append(hosts, client)})
	script(t, w, "", "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/canary </dev/null")
	if err := w.Run(t.Context(), "", "/usr/sbin/sshd", "-h", "/etc/ssh/canary", "-p", "22"); err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		from := netip.Addr{}
		if host.Is4() {
			from = client
		}
		conn, err := w.Dial(t.Context(), from, netip.AddrPortFrom(host, 22))
		// sshd leaves its parent before it listens.
		for limit := time.Now().Add(5 * time.Second); errors.Is(err, syscall.ECONNREFUSED) && time.Now().Before(limit); {
			conn, err = w.Dial(t.Context(), from, netip.AddrPortFrom(host, 22))
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if from.IsValid() && !strings.HasPrefix(conn.LocalAddr().String(), "203.0.113.9:") {
			t.Errorf("connected from %v", conn.LocalAddr())
		}
		banner, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(banner, "SSH-2.0-OpenSSH") {
			t.Errorf("%v says %q, %v", host, banner, err)
		}
	}
	if _, err := w.Dial(t.Context(), client, netip.AddrPortFrom(hosts[0], 23)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
	if out := script(t, w, "", "ls /proc | grep -c '^[0-9]'"); len(out) > 3 {
		t.Errorf("the World shows %s processes", out)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	needRoot(t)
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	w := enter(t, machine.Options{})
	if err := w.Run(t.Context(), "", "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & mount -t tmpfs x /mnt"); err != nil {
		t.Fatal(err)
	}
	during := descendants(t, w.PID())
	if len(during) < 2 {
		t.Fatalf("the World has the processes %v, want its first and sleep", during)
	}
	answer := make(chan error)
	go func() {
		_, err := w.Output(t.Context(), "sleep", "1000")
		answer <- err
	}()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err == nil {
		t.Error("a command that was cut off by Close has succeeded")
	}
	waitGone(t, during)
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || string(after) != string(before) {
		t.Errorf("mounts are now\n%s\n%v; were\n%s", after, err, before)
	}
}

// parentEnv makes TestMain a parent that waits to be killed.
const parentEnv = "HOLDFAST_TEST_PARENT"

func beParent() {
	w, err := machine.New().Enter(context.Background(), machine.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(w.PID())
	w.Output(context.Background(), "sleep", "1000")
}

func TestParentDies(t *testing.T) {
	needRoot(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), parentEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	_, err = fmt.Fscan(out, &child)
	pids := descendants(t, cmd.Process.Pid)
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil || !slices.Contains(pids, child) {
		t.Fatalf("the child is %d, %v; descendants are %v", child, err, pids)
	}
	waitGone(t, pids)
}

// descendants returns the process and its descendants.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range lists {
			content, _ := os.ReadFile(list)
			for _, field := range strings.Fields(string(content)) {
				var child int
				fmt.Sscan(field, &child)
				all = append(all, child)
			}
		}
	}
	return all
}

func waitGone(t *testing.T, pids []int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(5 * time.Second)
	for {
		left := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool {
			_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
			return err != nil
		})
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("processes %v are still there", left)
		}
	}
}

func BenchmarkRehearse(b *testing.B) {
	needRoot(b)
	m := machine.New()
	for b.Loop() {
		w, err := m.Rehearse(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		w.Close()
	}
}

func BenchmarkReadInWorld(b *testing.B) {
	needRoot(b)
	w := enter(b, machine.Options{})
	for b.Loop() {
		if _, err := w.Read(b.Context(), "/etc/passwd"); err != nil {
			b.Fatal(err)
		}
	}
}
