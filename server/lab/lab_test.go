package lab_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

func TestOptions(t *testing.T) {
	labtest.Require(t)
	for name, o := range map[string]lab.Options{
		"suite":        {Suite: "potato"},
		"layer":        {Layer: "tape"},
		"server name":  {Servers: []string{"../x"}},
		"server twice": {Servers: []string{"a", "a"}},
		"too many":     {Servers: make([]string, 51)},
	} {
		if l, err := lab.Up(t.Context(), labtest.ID(), o); err == nil {
			t.Errorf("%s: a lab went up", name)
			l.Down(t.Context())
		}
	}
	if _, err := lab.Open("no-such-lab"); !errors.Is(err, lab.ErrDown) {
		t.Errorf("open a lab that is not there: %v", err)
	}
	if _, err := lab.Open("../.."); err == nil {
		t.Error("opened a path as a lab")
	}
}

// Three servers of a release do what real ones do.
func TestServers(t *testing.T) {
	for _, suite := range lab.Suites {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			l := labtest.Lab(t, lab.Options{Suite: suite, Password: "Correct-Horse-1"})
			app, db := l.Servers()[0], l.Servers()[1]
			t.Run("login", func(t *testing.T) { testLogin(t, app) })
			t.Run("networks", func(t *testing.T) { testNetworks(t, app, db) })
			t.Run("exec", func(t *testing.T) { testExec(t, app) })
			t.Run("stock", func(t *testing.T) { testStock(t, suite, app, db) })
			t.Run("packages", func(t *testing.T) { testPackages(t, app) })
			t.Run("kernel settings", func(t *testing.T) { testFakeSys(t, db) })
			t.Run("power", func(t *testing.T) { testPower(t, db) })
			t.Run("another process", func(t *testing.T) { testOpen(t, l) })
			t.Run("delay", func(t *testing.T) { testDelay(t, db) })
			t.Run("fleet", func(t *testing.T) { testFleet(t, l) })
			takeDown(t, l)
		})
	}
}

// testLogin logs in with key and with password, over both address families.
func testLogin(t *testing.T, s *lab.Server) {
	pem, err := os.ReadFile(s.Lab().Key())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	for _, auth := range []ssh.AuthMethod{ssh.PublicKeys(signer), ssh.Password("Correct-Horse-1")} {
		for _, addr := range []netip.Addr{s.Addr4(), s.Addr6()} {
			c, err := ssh.Dial("tcp", netip.AddrPortFrom(addr, 22).String(), &ssh.ClientConfig{
				User: "root", Auth: []ssh.AuthMethod{auth}, Timeout: 10 * time.Second,
				HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // known hosts are tried below
			})
			if err != nil {
				t.Errorf("%T at %s: %v", auth, addr, err)
				continue
			}
			c.Close()
		}
	}
	argv := s.SSH("hostname")
	if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil || string(out) != s.Name()+"\n" {
		t.Errorf("%q: %v: %s", argv, err, out)
	}
}

// testNetworks shows who reaches whom.
func testNetworks(t *testing.T, app, db *lab.Server) {
	ctx := t.Context()
	for _, addr := range []netip.Addr{db.Addr4(), db.Addr6(), db.Private4(), db.Private6()} {
		if _, err := app.Exec(ctx, nil, "ping", "-n", "-c1", "-W2", addr.String()); err != nil {
			t.Errorf("from server to server: %v", err)
		}
	}
	for _, addr := range []netip.Addr{db.Private4(), db.Private6()} {
		if reaches(ctx, new(net.Dialer).DialContext, addr) {
			t.Errorf("this machine reaches %s", addr)
		}
	}
	stranger, err := app.Lab().Namespace(ctx, "stranger", lab.Public)
	if err != nil {
		t.Fatal(err)
	}
	insider, err := app.Lab().Namespace(ctx, "insider", lab.Private)
	if err != nil {
		t.Fatal(err)
	}
	if err := insider.Start(nil, "sleep", "1000"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from *lab.Namespace
		to   netip.Addr
		want bool
	}{
		{stranger, db.Addr4(), true}, {stranger, db.Addr6(), true},
		{stranger, db.Private4(), false}, {stranger, db.Private6(), false},
		{insider, db.Private4(), true}, {insider, db.Private6(), true},
		{insider, db.Addr4(), false}, {insider, db.Addr6(), false},
	} {
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			return c.from.Dial(ctx, network, netip.MustParseAddrPort(addr))
		}
		if got := reaches(ctx, dial, c.to); got != c.want {
			t.Errorf("from %s to %s: %v", c.from.Addr4(lab.Public), c.to, got)
		}
	}
	if err := stranger.Close(ctx); err != nil {
		t.Error(err)
	}
	// The insider is left to Down.
}

func reaches(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), addr netip.Addr) bool {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	conn, err := dial(ctx, "tcp", netip.AddrPortFrom(addr, 22).String())
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	hello := make([]byte, 4)
	// A machine's way out may answer for every address: look who it is.
	_, err = io.ReadFull(conn, hello)
	return err == nil && string(hello) == "SSH-"
}

func testExec(t *testing.T, s *lab.Server) {
	out, err := s.Exec(t.Context(), strings.NewReader("text"), "cat")
	if err != nil || string(out) != "text" {
		t.Errorf("cat: %q, %v", out, err)
	}
	_, err = s.Exec(t.Context(), nil, "ls", "/nowhere")
	var no *lab.CommandError
	if !errors.As(err, &no) || no.Exit != 2 || !strings.Contains(no.Output, "/nowhere") {
		t.Errorf("ls: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Exec(ctx, nil, "sleep", "1234"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sleep: %v", err)
	}
	// Until init has noticed, the dead process is still listed.
	for begin := time.Now(); time.Since(begin) < 5*time.Second; {
		if _, err := s.Exec(t.Context(), nil, "pgrep", "-x", "sleep"); err != nil {
			return
		}
	}
	t.Error("a command lives on after its time")
}

// testStock shows what a provider hands out.
func testStock(t *testing.T, suite string, app, db *lab.Server) {
	ctx := t.Context()
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"sed", "-n", "s/^VERSION_CODENAME=//p", "/etc/os-release"}, suite + "\n"},
		{[]string{"systemctl", "is-system-running"}, "running\n"},
		{[]string{"journalctl", "--quiet", "--unit=ssh", "--lines=1", "--output=cat", "--grep=listening on 0"}, "Server listening on 0.0.0.0 port 22.\n"},
		{[]string{"cat", "/etc/ssh/sshd_config.d/50-cloud-init.conf"}, "PasswordAuthentication yes\nPermitRootLogin yes\n"},
		{[]string{"find", "/usr/sbin/nft", "/usr/sbin/ufw"}, ""},
	} {
		out, err := app.Exec(ctx, nil, c.argv...)
		if string(out) != c.want {
			t.Errorf("%q printed %q, want %q (%v)", c.argv, out, c.want, err)
		}
	}
	for _, path := range []string{"/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"} {
		a, err1 := app.Exec(ctx, nil, "cat", path)
		d, err2 := db.Exec(ctx, nil, "cat", path)
		if err := errors.Join(err1, err2); err != nil || len(a) == 0 || string(a) == string(d) {
			t.Errorf("%s: %q and %q, %v", path, a, d, err)
		}
	}
}

func testFakeSys(t *testing.T, s *lab.Server) {
	const key = "/proc/sys/kernel/dmesg_restrict"
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path string) error {
		_, err := s.Exec(t.Context(), strings.NewReader("7\n"), "tee", path)
		return err
	}
	if err := write(key); err == nil {
		t.Errorf("%s is writable in a server", key)
	}
	if err := write("/proc/sys/net/ipv4/tcp_keepalive_probes"); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := s.FakeSys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := write(key); err != nil {
		t.Error(err)
	}
	out, err := s.Exec(t.Context(), nil, "sysctl", "-n", "kernel.dmesg_restrict")
	if err != nil || string(out) != "7\n" {
		t.Errorf("read back %q, %v", out, err)
	}
	if _, err := s.Exec(t.Context(), nil, "cat", "/proc/sys/kernel/random/boot_id"); err != nil {
		t.Error(err)
	}
	if now, err := os.ReadFile(key); err != nil || string(now) != string(before) {
		t.Errorf("this machine's %s is %q, was %q (%v)", key, now, before, err)
	}
}

// testPower switches a server off and on in all ways.
func testPower(t *testing.T, s *lab.Server) {
	ctx := t.Context()
	inside(t, s, "echo kept >/root/kept")
	if err := s.Boot(ctx); !errors.Is(err, lab.ErrOn) {
		t.Errorf("boot a running server: %v", err)
	}
	if err := s.PowerOff(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exec(ctx, nil, "true"); !errors.Is(err, lab.ErrOff) {
		t.Errorf("exec in a server that is off: %v", err)
	}
	if err := s.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	// A reboot typed inside switches off.
	if _, err := s.Exec(ctx, nil, "systemctl", "reboot"); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitOff(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.PowerCut(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	inside(t, s, "test -e /root/kept && ping -n -c1 -W2 "+s.Lab().Servers()[0].Private6().String())
	if err := s.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	inside(t, s, "test ! -e /root/kept")
	argv := s.SSH("true") // with its new host key
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// testDelay shows that answers come late, that much data comes whole, and that
// it is over when it is taken away.
func testDelay(t *testing.T, s *lab.Server) {
	const d = 80 * time.Millisecond
	ctx := t.Context()
	inside(t, s, "head -c 8000000 /dev/zero >/root/zeros")
	ask := func() time.Duration {
		begin := time.Now()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(s.Addr4(), 22).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return time.Since(begin)
	}
	for range 2 {
		if err := s.Delay(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(); got < d || got > 3*d {
		t.Errorf("connecting took %v, want about %v", got, d)
	}
	argv := s.SSH("cat", "/root/zeros")
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	if err != nil || len(out) != 8000000 {
		t.Errorf("%d bytes came, %v", len(out), err)
	}
	argv = s.SSH("sha256sum")
	up := exec.CommandContext(ctx, argv[0], argv[1:]...)
	up.Stdin = bytes.NewReader(out)
	sum := sha256.Sum256(out)
	if got, err := up.Output(); err != nil || !strings.HasPrefix(string(got), hex.EncodeToString(sum[:])) {
		t.Errorf("what went up is %q, %v", got, err)
	}
	for range 2 {
		if err := s.Delay(ctx, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(); got > d/2 {
		t.Errorf("without a delay connecting took %v", got)
	}
}

func testOpen(t *testing.T, l *lab.Lab) {
	if _, err := lab.Up(t.Context(), l.ID(), lab.Options{}); !errors.Is(err, lab.ErrUp) {
		t.Errorf("up twice: %v", err)
	}
	again, err := lab.Open(l.ID())
	if err != nil {
		t.Fatal(err)
	}
	st := again.Status(t.Context())
	if !st.Complete || len(st.Servers) != 3 {
		t.Errorf("status %+v", st)
	}
	for _, s := range st.Servers {
		if !s.Running || !strings.HasPrefix(s.SSH, "SSH-2.0-OpenSSH_") {
			t.Errorf("status %+v", s)
		}
	}
}

func testFleet(t *testing.T, l *lab.Lab) {
	fleet, err := l.StartFleet(t.Context(), 30)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range fleet.Addrs[27:] {
		argv := []string{"ssh", "-F", "none", "-i", l.Key(), "-o", "UserKnownHostsFile=/dev/null",
			"-o", "StrictHostKeyChecking=no", "root@" + addr.String(), "ip", "-4", "addr"}
		out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), addr.String()+"/") {
			t.Errorf("%s: %v: %s", addr, err, out)
		}
	}
	if err := fleet.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := l.StartFleet(t.Context(), 2); err != nil {
		t.Error(err)
	}
	// This one is left to Down.
}

// On the Disk layer a power cut loses what was not synced, and keeps what was.
func TestPowerCut(t *testing.T) {
	l := labtest.Lab(t, lab.Options{Servers: []string{"cut", "other"}, Layer: lab.Disk})
	s, ctx := l.Servers()[0], t.Context()
	inside(t, s, "echo synced >/root/synced && sync && echo lost >/root/lost")
	if err := s.PowerCut(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	inside(t, s, "test -s /root/synced && test ! -s /root/lost")
	inside(t, l.Servers()[1], "test -e /root")
	takeDown(t, l)
}
