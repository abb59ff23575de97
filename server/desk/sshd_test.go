package desk

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"golang.org/x/crypto/ssh"
)

// An sshd is a real daemon on loopback that sees private copies of /etc, /home,
// /root, /run and /usr/local, and so has accounts, a sudo and a file system of
// its own to write to. It ends with the test.
type sshd struct {
	t       *testing.T // whose end it does not survive
	port    int
	dir     string // keys, configuration, log
	process *exec.Cmd
}

// account is what start makes in the copies.
type account struct {
	name, password string
	keys           []ssh.PublicKey
	sudoers        string // one rule; empty: none
	shell          string
}

// startSSHD makes the private copies and runs sshd, for some minutes at most, in
// case that this process is killed. $1 is the directory.
const startSSHD = `set -e
# The servers of a lab that other tests run must be able to unmount their disks.
cut -d" " -f2 /proc/self/mounts | grep "^/var/lib/holdfast-lab/" | sort -r | while read -r at; do umount -l "$at"; done
mount -t tmpfs -o mode=755 tmpfs "$1/mnt"
for d in etc home root usr/local; do
	u="$1/mnt/$(echo $d | tr / _)"
	mkdir "$u" "$u.work"
	chmod --reference=/$d "$u"
	mount -t overlay overlay -o "lowerdir=/$d,upperdir=$u,workdir=$u.work" "/$d"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/sudo /run/lock
rm -f /etc/nologin
sh "$1/accounts"
exec timeout 300 /usr/sbin/sshd -D -e -f "$1/sshd_config"`

// start starts an sshd; lines are added before its configuration.
func start(t *testing.T, lines string, accounts ...account) *sshd {
	t.Helper()
	need(t)
	dir, err := os.MkdirTemp("", "sshd") // t's own may have a comma, which mount splits
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &sshd{t: t, dir: dir, port: freePort(t)}
	if err := os.Mkdir(filepath.Join(dir, "mnt"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.hostKey()
	write(t, filepath.Join(s.dir, "sshd_config"), fmt.Sprintf(`%s
Port %d
ListenAddress 127.0.0.1
HostKey %s/host_ed25519
UsePAM yes
PermitRootLogin yes
AuthorizedKeysFile /etc/ssh/keys-%%u
StrictModes no
PidFile none
LogLevel VERBOSE
`, lines, s.port, s.dir))
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, a := range accounts {
		if a.name != "root" {
			if a.shell == "" {
				a.shell = "/bin/sh"
			}
			fmt.Fprintf(&script, "useradd --create-home --shell %s %s\n", a.shell, a.name)
		}
		if a.password != "" {
			fmt.Fprintf(&script, "echo '%s:%s' | chpasswd\n", a.name, a.password)
		}
		if a.sudoers != "" {
			fmt.Fprintf(&script, "echo '%s' >> /etc/sudoers.d/test\n", a.sudoers)
		}
		for _, k := range a.keys {
			fmt.Fprintf(&script, "echo '%s' >> /etc/ssh/keys-%s\n", line(k), a.name)
		}
	}
	write(t, filepath.Join(s.dir, "accounts"), script.String())
	s.run()
	return s
}

// hostKey makes a new host key, which the next run uses.
func (s *sshd) hostKey() {
	t := s.t
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	writeKey(t, filepath.Join(s.dir, "host_ed25519"), private, "")
}

func (s *sshd) run() {
	t := s.t
	t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.process = exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", startSSHD, "sh", s.dir)
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("sshd on port %d says:\n%s", s.port, s.log())
		}
	})
	eventually(t, "sshd answers", func() bool {
		c, err := net.Dial("tcp", s.address())
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Second))
		_, err = bufio.NewReader(c).ReadString('\n')
		return err == nil
	})
}

// eventually waits until f is true, at most 20 seconds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it does not come about that %s", what)
		}
	}
}

// stop kills the daemon and all that it has started. It may be called twice.
func (s *sshd) stop() {
	if s.process != nil {
		s.process.Process.Kill()
		s.process.Wait()
		s.process = nil
	}
}

func (s *sshd) address() string { return hostPort("127.0.0.1", s.port) }

func (s *sshd) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text)
}

// shell runs a script inside the daemon's private copies.
func (s *sshd) shell(t *testing.T, script string) string {
	t.Helper()
	children, err := exec.Command("pgrep", "-P", fmt.Sprint(s.process.Process.Pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("nsenter", "-t", strings.TrimSpace(string(children)), "-m", "-p", "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return string(out)
}

func (s *sshd) target(name string, logins ...Login) Target {
	return Target{Name: name, Address: "127.0.0.1", Port: s.port, Logins: logins}
}

// need skips the test, or fails it if HOLDFAST_MUST_RUN is 1, where no private
// sshd can be run.
func need(t *testing.T) {
	t.Helper()
	var missing []string
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		missing = append(missing, "root on Linux")
	}
	for _, program := range []string{"/usr/sbin/sshd", "unshare", "nsenter", "sudo", "ssh", "ssh-agent", "ssh-add"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if len(missing) == 0 {
		return
	}
	if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
		t.Fatalf("HOLDFAST_MUST_RUN=1, but this needs %v", missing)
	}
	t.Skipf("needs %v", missing)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeKey(t *testing.T, path string, private crypto.PrivateKey, passphrase string) {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(block)))
}

// A bench is what is on a desk: keys in files and in an agent, an operator who
// answers, and a daemon to bring along.
type bench struct {
	t    *testing.T
	dir  string
	keys []string // paths
	// agent is the socket, "none" without one.
	agent  string
	extra  string // of the ssh configuration
	config Config

	mu      sync.Mutex
	answers map[Kind]string
	asked   []Question
	seen    []HostKey
	refuse  bool // host keys
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir(), agent: "none", answers: make(map[Kind]string)}
	b.config = Config{
		Site: "example", KnownHosts: filepath.Join(b.dir, "known_hosts"), Memory: filepath.Join(b.dir, "state", "logins.json"),
		SSHConfig: filepath.Join(b.dir, "config"), Prompter: b, Binaries: echo(t),
	}
	return b
}

// key makes a key file.
func (b *bench) key(name, passphrase string) ssh.PublicKey {
	b.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.dir, name)
	writeKey(b.t, path, private, passphrase)
	b.keys = append(b.keys, path)
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		b.t.Fatal(err)
	}
	return key
}

// desk returns a new desk with what is there by now.
func (b *bench) desk() *Desk {
	b.t.Helper()
	config := b.extra + "Host *\nIdentityAgent " + b.agent + "\nUserKnownHostsFile " + filepath.Join(b.dir, "own_known_hosts") + "\n"
	for _, k := range b.keys {
		config += "IdentityFile " + k + "\n"
	}
	if len(b.keys) == 0 {
		config += "IdentityFile " + filepath.Join(b.dir, "none") + "\n"
	}
	write(b.t, b.config.SSHConfig, config)
	d := New(b.config)
	b.t.Cleanup(func() { d.Close() })
	return d
}

func (b *bench) Secret(_ context.Context, q Question) (server.Secret, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, q)
	answer, ok := b.answers[q.Kind]
	if !ok {
		return server.Secret{}, errors.New("the operator has no answer")
	}
	return server.NewSecret(answer), nil
}

func (b *bench) AcceptHostKey(_ context.Context, k HostKey) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, k)
	return !b.refuse, nil
}

// questions returns what was asked since the last call.
func (b *bench) questions() []Question {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = nil
	return asked
}

// startAgent runs a real ssh-agent that holds the keys made so far, whose files
// are removed then.
func (b *bench) startAgent() {
	b.t.Helper()
	b.agent = filepath.Join(b.dir, "agent")
	agent := exec.Command("ssh-agent", "-D", "-a", b.agent)
	if err := agent.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		agent.Process.Kill()
		agent.Wait()
	})
	eventually(b.t, "ssh-agent answers", func() bool {
		c, err := net.Dial("unix", b.agent)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	for _, k := range b.keys {
		add := exec.Command("ssh-add", k)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+b.agent)
		if out, err := add.CombinedOutput(); err != nil {
			b.t.Fatalf("ssh-add: %v: %s", err, out)
		}
		os.Remove(k)
	}
	b.keys = nil
}

// programs are a daemon for this machine.
type programs struct{ data []byte }

var echoOnce = sync.OnceValues(func() (programs, error) {
	dir, err := os.MkdirTemp("", "echod")
	if err != nil {
		return programs{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "echod")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "./testdata/echod")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return programs{}, fmt.Errorf("%w: %s", err, out)
	}
	data, err := os.ReadFile(path)
	return programs{data}, err
})

func echo(t *testing.T) programs {
	t.Helper()
	p, err := echoOnce()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p programs) Digests() map[string]string {
	sum := sha256.Sum256(p.data)
	return map[string]string{runtime.GOARCH: hex.EncodeToString(sum[:])}
}

func (p programs) For(string) ([]byte, error) { return p.data, nil }

func line(k ssh.PublicKey) string {
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(k)))
}

// A relay stands between desk and server: it can delay, count and cut.
type relay struct {
	listener net.Listener
	delay    time.Duration // one way
	hungUp   chan struct{} // gets a value for each connection that the server closes

	mu    sync.Mutex
	conns []net.Conn
	mute  bool // swallows everything, as a cut cable does
}

func newRelay(t *testing.T, to string, delay time.Duration) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, delay: delay, hungUp: make(chan struct{}, 100)}
	t.Cleanup(func() {
		l.Close()
		r.cut()
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			go r.carry(out, in)
			go func() {
				r.carry(in, out)
				r.hungUp <- struct{}{}
			}()
		}
	}()
	return r
}

func (r *relay) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// carry copies, each piece late by the delay.
func (r *relay) carry(to, from net.Conn) {
	type piece struct {
		data []byte
		at   time.Time
	}
	pieces := make(chan piece, 4096)
	go func() {
		defer to.Close()
		for p := range pieces {
			<-time.After(time.Until(p.at))
			r.mu.Lock()
			mute := r.mute
			r.mu.Unlock()
			if mute {
				continue
			}
			if _, err := to.Write(p.data); err != nil {
				return
			}
		}
	}()
	defer close(pieces)
	for {
		data := make([]byte, 64<<10)
		n, err := from.Read(data)
		if n > 0 {
			pieces <- piece{data[:n], time.Now().Add(r.delay)}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				to.Close()
			}
			return
		}
	}
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
}

func (r *relay) swallow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mute = true
}
