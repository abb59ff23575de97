package desk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/protocol"
	"golang.org/x/crypto/ssh"
)

func publics(t *testing.T, lines []string) []ssh.PublicKey {
	t.Helper()
	keys, err := publicKeys(lines)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// secure is a server after its first apply: an admin with a key, a password and
// sudo.
func secure(t *testing.T, b *bench, lines string) (*sshd, Login) {
	t.Helper()
	key := b.key("id", "")
	b.answers[SudoPassword] = "right"
	s := start(t, lines, account{name: "ada", password: "right", sudoers: "ada ALL=(ALL:ALL) ALL", keys: []ssh.PublicKey{key}})
	return s, Login{User: "ada", Keys: []string{line(key)}}
}

func TestJumpHosts(t *testing.T) {
	b := newBench(t)
	outer, ada := secure(t, b, "")
	key := b.key("inner", "")
	inner := start(t, "", account{name: "root", keys: []ssh.PublicKey{key}})
	root := Login{User: "root", Keys: []string{line(key)}}

	t.Run("of the site", func(t *testing.T) {
		bastion := outer.target("bastion", ada)
		target := inner.target("db-1", root)
		target.Jump = &bastion
		d := b.desk()
		s, err := d.Open(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		hello(t, s)
		s.Close()
		if n := d.Stats().Connections; n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
		if !strings.Contains(outer.log(), "Accepted publickey for ada") {
			t.Error("the jump host was not used")
		}
		pinned, _ := os.ReadFile(b.config.KnownHosts)
		if !strings.Contains(string(pinned), "\ndb-1 ssh-ed25519 ") {
			t.Errorf("the key of a server behind a jump host is not pinned under its name alone:\n%s", pinned)
		}
		if _, err := d.Prove(t.Context(), target, root); err != nil {
			t.Errorf("through the jump host: %v", err)
		}
		inner.stop()
		_, err = d.Dial(t.Context(), target)
		if err == nil || !strings.Contains(err.Error(), "from the jump host bastion") {
			t.Errorf("a server that is down: %v", err)
		}
		inner.run()
	})
	t.Run("of the ssh configuration", func(t *testing.T) {
		b.extra = fmt.Sprintf("Host db\nHostName 127.0.0.1\nPort %d\nUser root\nProxyJump ada@gate\nHost gate\nHostName 127.0.0.1\nPort %d\n", inner.port, outer.port)
		defer func() { b.extra = "" }()
		b.seen = nil
		s, err := b.desk().Open(t.Context(), Target{Name: "db-1", Address: "db"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		hello(t, s)
		if len(b.seen) != 0 { // both are pinned
			t.Errorf("shown %+v", b.seen)
		}
	})
	t.Run("of the ssh configuration with a key that the operator knows", func(t *testing.T) {
		b.extra = fmt.Sprintf("Host db\nHostName 127.0.0.1\nPort %d\nProxyJump ada@127.0.0.1:%d\n", inner.port, outer.port)
		defer func() { b.extra = "" }()
		write(t, b.config.KnownHosts, "")
		public := readSigner(t, filepath.Join(outer.dir, "host_ed25519")).PublicKey()
		write(t, filepath.Join(b.dir, "own_known_hosts"), fmt.Sprintf("[127.0.0.1]:%d %s\n", outer.port, line(public)))
		b.seen = nil
		c, err := b.desk().Dial(t.Context(), Target{Name: "db-1", Address: "db", Logins: []Login{root}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if len(b.seen) != 1 || b.seen[0].Server != "db-1" {
			t.Errorf("shown %+v, want only the key of db-1", b.seen)
		}
	})
	t.Run("in a circle", func(t *testing.T) {
		b.extra = "Host localhost\nProxyJump 127.0.0.1\nHost 127.0.0.1\nProxyJump localhost\n"
		defer func() { b.extra = "" }()
		if _, err := b.desk().Dial(t.Context(), Target{Name: "a", Address: "localhost", Logins: []Login{root}}); err == nil || !strings.Contains(err.Error(), "jump hosts") {
			t.Errorf("got %v", err)
		}
	})
}

func readSigner(t *testing.T, path string) ssh.Signer {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What an operation costs in round trips, told by the counter and by the clock.
func TestRoundTrips(t *testing.T) {
	b := newBench(t)
	server, ada := secure(t, b, "")
	key := b.key("root", "")
	stock := start(t, "", account{name: "root", keys: []ssh.PublicKey{key}})
	for name, tt := range map[string]struct {
		server *sshd
		login  Login
		most   int64
	}{
		"root":               {stock, Login{User: "root", Keys: []string{line(key)}}, 10},
		"sudo with password": {server, ada, 11},
	} {
		t.Run(name, func(t *testing.T) {
			const rtt = 100 * time.Millisecond
			far := newRelay(t, tt.server.address(), rtt/2)
			target := tt.server.target("app-1", tt.login)
			d := b.desk()
			d.config.KnownHosts += strings.ReplaceAll(name, " ", "-")
			s, err := d.Open(t.Context(), target) // pins, uploads
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			target.Port = far.port()
			begin := time.Now()
			if s, err = d.Open(t.Context(), target); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			hello(t, s)
			took := time.Since(begin)
			got := s.Conn.Counts().RoundTrips
			t.Logf("%d round trips, %v at %v each", got, took.Round(time.Millisecond), rtt)
			if got != tt.most {
				t.Errorf("%d round trips, want %d", got, tt.most)
			}
			// The relay answers TCP's own round trip at once.
			if least := time.Duration(tt.most-1) * rtt; took < least {
				t.Errorf("took %v, which is less than %v: the delay does not work", took, least)
			}
			if most := time.Duration(tt.most)*rtt + 2*time.Second; took > most {
				t.Errorf("took %v, want at most %v", took, most)
			}
		})
	}
}

func TestLost(t *testing.T) {
	b := newBench(t)
	server, ada := secure(t, b, "")
	open := func(t *testing.T, alive time.Duration) (*relay, *Session) {
		r := newRelay(t, server.address(), 0)
		target := server.target("app-1", ada)
		target.Port = r.port()
		d := b.desk()
		d.limits.alive = alive
		s, err := d.Open(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return r, s
	}
	wait := func(s *Session, op protocol.Op) <-chan error {
		failed := make(chan error, 1)
		go func() { failed <- s.Call(context.Background(), op, nil, nil, nil) }()
		return failed
	}
	var lost *LostError
	t.Run("connection reset", func(t *testing.T) {
		r, s := open(t, time.Minute)
		hello(t, s)
		failed := wait(s, protocol.OpStatus)
		hello(t, s)
		r.cut()
		if err := <-failed; !errors.As(err, &lost) || lost.Server != "app-1" || strings.Contains(err.Error(), "holdfastd has ended") {
			t.Errorf("got %v, want a LostError", err)
		}
		if err := s.Call(t.Context(), protocol.OpHello, nil, nil, nil); !errors.As(err, &lost) {
			t.Errorf("then: %v", err)
		}
	})
	t.Run("network cut", func(t *testing.T) {
		r, s := open(t, 200*time.Millisecond)
		failed := wait(s, protocol.OpStatus)
		hello(t, s)
		r.swallow()
		var late *TimeoutError
		if err := <-failed; !errors.As(err, &lost) || !errors.As(err, &late) {
			t.Errorf("got %v, want a LostError because of a TimeoutError", err)
		}
	})
	t.Run("daemon dies", func(t *testing.T) {
		_, s := open(t, time.Minute)
		err := <-wait(s, protocol.OpUnlock)
		if !errors.As(err, &lost) || !strings.Contains(err.Error(), "status 3") || !strings.Contains(err.Error(), "dying as told") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("got %q", err)
		}
	})
	t.Run("server dies", func(t *testing.T) {
		_, s := open(t, time.Minute)
		failed := wait(s, protocol.OpStatus)
		hello(t, s)
		server.stop()
		if err := <-failed; !errors.As(err, &lost) {
			t.Errorf("got %v", err)
		}
		server.run()
	})
	t.Run("cancelled", func(t *testing.T) {
		_, s := open(t, time.Minute)
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		var e *protocol.Error
		if err := s.Call(ctx, protocol.OpStatus, nil, nil, nil); !errors.As(err, &e) || e.Message != "was told to stop" {
			t.Errorf("got %v, want the daemon's last word", err)
		}
		hello(t, s)
	})
}

// A listener that does what serve says with each connection.
func listener(t *testing.T, serve func(net.Conn)) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return Target{Name: "app-1", Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Logins: []Login{{User: "root", Password: true}}}
}

func TestNoServer(t *testing.T) {
	b := newBench(t)
	t.Run("silence", func(t *testing.T) {
		target := listener(t, func(c net.Conn) { c.Read(make([]byte, 1)) })
		d := b.desk()
		d.limits.exchange = 100 * time.Millisecond
		var late *TimeoutError
		if _, err := d.Dial(t.Context(), target); !errors.As(err, &late) || late.Phase != "exchanging keys" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("silence behind a jump host", func(t *testing.T) {
		outer, ada := secure(t, b, "")
		target := listener(t, func(c net.Conn) { c.Read(make([]byte, 1)) })
		bastion := outer.target("bastion", ada)
		target.Jump = &bastion
		d := b.desk()
		c, err := d.Dial(t.Context(), bastion)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		d.limits.exchange = time.Second
		var late *TimeoutError
		if _, err := d.Dial(t.Context(), target); !errors.As(err, &late) || late.Server != "app-1" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		target := listener(t, func(c net.Conn) { c.Read(make([]byte, 1)) })
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		if _, err := b.desk().Dial(ctx, target); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("turned away", func(t *testing.T) {
		target := listener(t, func(c net.Conn) {
			c.Write([]byte("Not allowed at this time\x1b[31m\r\n"))
			c.(*net.TCPConn).CloseWrite()
		})
		var away *TurnedAwayError
		if _, err := b.desk().Dial(t.Context(), target); !errors.As(err, &away) || away.Text != "Not allowed at this time" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no daemon", func(t *testing.T) {
		_, err := b.desk().Dial(t.Context(), Target{Name: "app-1", Address: "127.0.0.1", Port: freePort(t), Logins: []Login{{User: "root", Password: true}}})
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another family", func(t *testing.T) {
		_, err := b.desk().Dial(t.Context(), Target{Name: "app-1", Address: "127.0.0.1", Port: 1, Family: IPv6, Logins: []Login{{User: "root", Password: true}}})
		if err == nil || strings.Contains(err.Error(), "refused") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSecondFactor(t *testing.T) {
	for _, methods := range []string{"publickey,keyboard-interactive", "publickey,password"} {
		t.Run(methods, func(t *testing.T) {
			b := newBench(t)
			s, ada := secure(t, b, "KbdInteractiveAuthentication yes\nAuthenticationMethods "+methods)
			kind := Code
			if strings.HasSuffix(methods, "password") {
				kind = LoginPassword
			}
			b.answers[kind] = "right"
			c, err := b.desk().Dial(t.Context(), s.target("app-1", ada))
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if q := b.questions(); len(q) != 1 || q[0].Kind != kind || (kind == Code) != (q[0].Text == "Password:") {
				t.Errorf("asked %+v", q)
			}
			b.answers[kind] = "wrong"
			d := b.desk()
			var login *LoginError
			if _, err := d.Dial(t.Context(), s.target("app-1", ada)); !errors.As(err, &login) || d.Stats().FailedLogins != 1 {
				t.Errorf("wrong: %v, %+v", err, d.Stats())
			}
			if kind != Code {
				return
			}
			b.questions()
			ada.Code = func(_ context.Context, question string) (server.Secret, error) {
				if question != "Password:" {
					t.Errorf("asked %q", question)
				}
				return server.NewSecret("right"), nil
			}
			if c, err := b.desk().Dial(t.Context(), s.target("app-1", ada)); err != nil {
				t.Error(err)
			} else {
				c.Close()
			}
			if q := b.questions(); len(q) != 0 {
				t.Errorf("asked %+v", q)
			}
		})
	}
}

// A server that puts the password as a question.
func TestPasswordAsQuestion(t *testing.T) {
	b := newBench(t)
	b.answers[LoginPassword] = "stock"
	s := start(t, "PasswordAuthentication no\nKbdInteractiveAuthentication yes", account{name: "root", password: "stock"})
	c, err := b.desk().Dial(t.Context(), s.target("app-1", Login{User: "root", Password: true}))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	b.answers[LoginPassword] = "wrong"
	d := b.desk()
	var login *LoginError
	if _, err := d.Dial(t.Context(), s.target("app-1", Login{User: "root", Password: true})); !errors.As(err, &login) {
		t.Errorf("wrong password: %v", err)
	}
	if n := strings.Count(s.log(), "Failed keyboard-interactive/pam"); n > 1 || d.Stats().FailedLogins != 1 {
		t.Errorf("%d attempts, %+v", n, d.Stats())
	}
	b.answers[LoginPassword] = "stock"
	if c, err = d.Dial(t.Context(), s.target("app-1", Login{User: "root", Password: true})); err != nil {
		t.Fatalf("a wrong password is kept: %v", err)
	}
	c.Close()
}

// A server that grows tired of waiting for the operator is dialled again with the
// answers.
func TestSlowOperator(t *testing.T) {
	b := newBench(t)
	b.answers[LoginPassword] = "stock"
	s := start(t, "LoginGraceTime 1", account{name: "root", password: "stock"})
	r := newRelay(t, s.address(), 0)
	b.config.Prompter = slowPrompter{bench: b, hungUp: r.hungUp}
	d := b.desk()
	d.limits.patience = 100 * time.Millisecond
	target := s.target("app-1", Login{User: "root", Password: true})
	target.Port = r.port()
	c, err := d.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if len(b.asked) != 1 || len(b.seen) != 1 || d.Stats().FailedLogins != 0 || d.Stats().Connections != 3 {
		t.Errorf("asked %+v, shown %+v, %+v", b.asked, b.seen, d.Stats())
	}
}

// A slowPrompter answers when the server has hung up.
type slowPrompter struct {
	*bench
	hungUp <-chan struct{}
}

func (p slowPrompter) wait() error {
	select {
	case <-p.hungUp:
		return nil
	case <-time.After(10 * time.Second):
		return errors.New("the server does not hang up")
	}
}

func (p slowPrompter) Secret(ctx context.Context, q Question) (server.Secret, error) {
	if err := p.wait(); err != nil {
		return server.Secret{}, err
	}
	return p.bench.Secret(ctx, q)
}

func (p slowPrompter) AcceptHostKey(ctx context.Context, k HostKey) (bool, error) {
	if err := p.wait(); err != nil {
		return false, err
	}
	return p.bench.AcceptHostKey(ctx, k)
}

func TestProve(t *testing.T) {
	b := newBench(t)
	s, ada := secure(t, b, "")
	d := b.desk()
	target := s.target("app-1", Login{User: "root", Password: true})
	var unknown *UnknownHostKeyError
	if _, err := d.Prove(t.Context(), target, ada); !errors.As(err, &unknown) || len(b.seen) != 0 {
		t.Fatalf("a host key that is not pinned: %v, shown %v", err, b.seen)
	}
	target.Logins = []Login{ada}
	c, err := d.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	p, err := d.Prove(t.Context(), target, ada)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Root || p.User != "ada" || p.HostKey != c.HostKey || !slices.Contains(p.Algorithms.KeyExchanges, "curve25519-sha256") ||
		!strings.HasPrefix(p.Algorithms.Version, "SSH-2.0-OpenSSH") || !slices.Contains(p.Algorithms.HostKeys, "ssh-ed25519") {
		t.Errorf("%+v", p)
	}
	if u := d.memory.get("app-1"); u != "ada" {
		t.Errorf("remembered %q", u)
	}
	ada.Sudo = func(context.Context) (server.Secret, error) { return server.NewSecret("wrong"), nil }
	var sudo *SudoError
	if _, err := d.Prove(t.Context(), target, ada); !errors.As(err, &sudo) || sudo.Reason != WrongPassword {
		t.Errorf("wrong password: %v", err)
	}
	if n := d.Stats(); n.FailedLogins != 0 || n.Uploads != 0 {
		t.Errorf("%+v", n)
	}
}

func TestTry(t *testing.T) {
	b := newBench(t)
	s, ada := secure(t, b, "PermitRootLogin no\nPasswordAuthentication no\nKbdInteractiveAuthentication no")
	s.shell(t, "cp /etc/ssh/keys-ada /etc/ssh/keys-root")
	d := b.desk()
	c, err := d.Dial(t.Context(), s.target("app-1", ada))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, tt := range []struct {
		as   Login
		want Attempt
	}{
		{ada, Attempt{Admitted: true, Offered: []string{"publickey"}, Keys: 1}},
		{Login{User: "root", Keys: ada.Keys}, Attempt{Offered: []string{"publickey"}, Keys: 1}},
		{Login{User: "root", AnyKey: true}, Attempt{Offered: []string{"publickey"}, Keys: 1}},
		{Login{User: "ada"}, Attempt{Offered: []string{"publickey"}}},
		{Login{User: "ada", Password: true}, Attempt{Offered: []string{"publickey"}, Password: true}},
	} {
		got, err := d.Try(t.Context(), s.target("app-1"), tt.as)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v; want %+v", tt.as.User, got, err, tt.want)
		}
	}
}

// A daemon that is not what it should be never gets its name.
func TestUpload(t *testing.T) {
	b := newBench(t)
	key := b.key("id", "")
	s := start(t, "", account{name: "root", keys: []ssh.PublicKey{key}})
	target := s.target("app-1", Login{User: "root"})
	left := func() string {
		return s.shell(t, "find /usr/local/lib/holdfast -type f 2>/dev/null || true")
	}
	t.Run("damaged", func(t *testing.T) {
		d := b.desk()
		d.config.Binaries = damaged{echo(t)}
		if _, err := d.Open(t.Context(), target); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("got %v", err)
		}
		if l := left(); l != "" {
			t.Errorf("left behind: %s", l)
		}
	})
	t.Run("cut off", func(t *testing.T) {
		d := b.desk()
		noise := make([]byte, 4<<20)
		rand.Read(noise)
		d.config.Binaries = programs{noise}
		r := newRelay(t, s.address(), 0)
		d.config.Progress = func(string, string) { r.swallow() }
		d.limits.stall = 300 * time.Millisecond
		far := target
		far.Port = r.port()
		var late *TimeoutError
		if _, err := d.Open(t.Context(), far); !errors.As(err, &late) {
			t.Errorf("got %v, want a TimeoutError", err)
		}
		r.cut()
		eventually(t, "nothing is left behind", func() bool { return left() == "" })
	})
	t.Run("no program for it", func(t *testing.T) {
		d := b.desk()
		d.config.Binaries = other{}
		var machine *MachineError
		if _, err := d.Open(t.Context(), target); !errors.As(err, &machine) || machine.Machine == "" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("several at once", func(t *testing.T) {
		d := b.desk()
		errs := Each(t.Context(), make([]struct{}, 6), 6, time.Minute, func(ctx context.Context, _ struct{}) error {
			s, err := d.Open(ctx, target)
			if err != nil {
				return err
			}
			defer s.Close()
			return s.Call(ctx, protocol.OpHello, protocol.Hello{}, nil, nil)
		})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if l := left(); strings.Count(l, "\n") != 1 || !strings.HasSuffix(l, "/holdfastd\n") {
			t.Errorf("left behind: %s", l)
		}
	})
}

type damaged struct{ programs }

func (d damaged) For(arch string) ([]byte, error) { return append([]byte("x"), d.data...), nil }

type other struct{}

func (other) Digests() map[string]string { return map[string]string{"riscv64": "00"} }

func (other) For(string) ([]byte, error) { return nil, errors.New("there is none") }

func TestEach(t *testing.T) {
	var slots = make(chan struct{}, 2)
	errs := Each(t.Context(), []int{0, 1, 2, 3}, 2, time.Nanosecond, func(ctx context.Context, i int) error {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			t.Error("more than 2 at once")
		}
		<-ctx.Done()
		if i == 2 {
			return nil
		}
		return fmt.Errorf("%d: %w", i, ctx.Err())
	})
	for i, err := range errs {
		if (i == 2) != (err == nil) || i != 2 && !strings.HasPrefix(err.Error(), fmt.Sprint(i)) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// Without an ssh program the configuration is read the same way.
func TestSettings(t *testing.T) {
	need(t)
	file := filepath.Join(t.TempDir(), "config")
	write(t, file, "Host db-*\nHostName 192.0.2.1\nPort 2222\nUser ada\nProxyJump gate\nIdentityFile ~/.ssh/a\nIdentityFile /b\nIdentitiesOnly yes\nIdentityAgent /agent\nUserKnownHostsFile /k\nHost *\nProxyCommand none\n")
	by, err := readSettings(t.Context(), file, "db-1")
	if err != nil {
		t.Fatal(err)
	}
	without, err := decodeSettings(file, "db-1")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(by, without) {
		t.Errorf("ssh says %+v\nwithout it %+v", by, without)
	}
	if by.port != 2222 || by.hostName != "192.0.2.1" || !by.identitiesOnly || len(by.identityFiles) != 2 || by.proxyJump != "gate" {
		t.Errorf("%+v", by)
	}
	write(t, file, "Match user x\nPort 3\n")
	if _, err := decodeSettings(file, "db-1"); err == nil {
		t.Error("a Match block was skipped")
	}
}

func TestMemoryForgives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "logins.json")
	m := memory{path: path, site: "s"}
	if err := m.put("app-1", "ada"); err != nil {
		t.Fatal(err)
	}
	again := memory{path: path, site: "s"}
	if u := again.get("app-1"); u != "ada" {
		t.Errorf("remembered %q", u)
	}
	write(t, path, "{broken")
	broken := memory{path: path, site: "s"}
	if u := broken.get("app-1"); u != "" {
		t.Errorf("remembered %q", u)
	}
	if err := broken.put("app-1", "bob"); err != nil {
		t.Error(err)
	}
}
