package desk

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/protocol"
)

func hello(t *testing.T, s *Session) protocol.Welcome {
	t.Helper()
	var w protocol.Welcome
	if err := s.Call(t.Context(), protocol.OpHello, protocol.Hello{Version: "test"}, &w, nil); err != nil {
		t.Fatal(err)
	}
	if w.Version != "test" || !strings.HasPrefix(w.Facts.System, "uid 0 ") {
		t.Fatalf("the daemon says %+v, want version test and uid 0", w)
	}
	return w
}

// A stock server: root by password, asked once. The daemon is uploaded once.
func TestRootByPassword(t *testing.T) {
	s := start(t, "", account{name: "root", password: "stock"})
	b := newBench(t)
	b.answers[LoginPassword] = "stock"
	d := b.desk()
	target := s.target("app-1", Login{User: "root", Password: true})
	first, err := d.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	hello(t, first)
	if !first.Uploaded || d.Stats().Uploads != 1 {
		t.Errorf("the daemon was not uploaded: %+v", d.Stats())
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	second, err := d.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	hello(t, second)
	if second.Uploaded || d.Stats().Uploads != 1 {
		t.Errorf("the daemon was uploaded again: %+v", d.Stats())
	}
	if q := b.questions(); len(q) != 1 || q[0] != (Question{Kind: LoginPassword, Server: "app-1", Account: "root"}) {
		t.Errorf("asked %+v, want the password of root once", q)
	}
	if got := s.shell(t, "stat -c '%a %U:%G %n' /usr/local/lib/holdfast /usr/local/lib/holdfast/* /usr/local/lib/holdfast/*/*; ls -A /usr/local/lib/holdfast/*"); strings.Count(got, "755 root:root") != 3 || strings.Contains(got, ".new") {
		t.Errorf("what lies on the server:\n%s", got)
	}
	if n := len(b.seen); n != 1 {
		t.Errorf("%d host keys were shown, want 1", n)
	}
}

func TestSudo(t *testing.T) {
	b := newBench(t)
	key := b.key("id", "")
	keys := []string{line(key)}
	tests := []struct {
		user, name, sudoers, answer string
		shell                       string
		reason                      SudoReason
		asked                       int
	}{
		{user: "a", name: "with password", sudoers: "a ALL=(ALL:ALL) ALL", answer: "right", asked: 1},
		{user: "b", name: "without", sudoers: "b ALL=(ALL:ALL) NOPASSWD: ALL"},
		{user: "c", name: "pty in between", sudoers: "Defaults:c use_pty\nc ALL=(ALL:ALL) ALL", answer: "right", asked: 1},
		{user: "d", name: "wants a terminal", sudoers: "Defaults:d requiretty\nd ALL=(ALL:ALL) ALL", answer: "right", asked: 1},
		{user: "e", name: "wants a terminal and puts another in between", sudoers: "Defaults:e requiretty,use_pty\ne ALL=(ALL:ALL) ALL", answer: "right", asked: 1},
		{user: "f", name: "terminal without password", sudoers: "Defaults:f requiretty\nf ALL=(ALL:ALL) NOPASSWD: ALL"},
		{user: "g", name: "another shell", sudoers: "g ALL=(ALL:ALL) ALL", answer: "right", asked: 1, shell: "/bin/bash"},
		{user: "h", name: "wrong password", sudoers: "h ALL=(ALL:ALL) ALL", answer: "wrong", asked: 1, reason: WrongPassword},
		{user: "i", name: "one wrong password is too many", sudoers: "Defaults:i passwd_tries=1\ni ALL=(ALL:ALL) ALL", answer: "wrong", asked: 1, reason: WrongPassword},
		{user: "j", name: "wrong password on a terminal", sudoers: "Defaults:j requiretty\nj ALL=(ALL:ALL) ALL", answer: "wrong", asked: 1, reason: WrongPassword},
		{user: "k", name: "not allowed", answer: "right", asked: 1, reason: NotAllowed},
		{user: "l", name: "only something else", sudoers: "l ALL=(ALL:ALL) NOPASSWD: /bin/true", answer: "right", asked: 1, reason: NotAllowed},
	}
	var accounts []account
	for _, tt := range tests {
		accounts = append(accounts, account{name: tt.user, password: "right", sudoers: tt.sudoers, shell: tt.shell, keys: publics(t, keys)})
	}
	sshd := start(t, "", accounts...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.answers[SudoPassword] = tt.answer
			b.questions()
			s, err := b.desk().Open(t.Context(), sshd.target("app-1", Login{User: tt.user, Keys: keys}))
			if q := b.questions(); len(q) != tt.asked {
				t.Errorf("asked %+v, want %d questions", q, tt.asked)
			}
			if tt.reason != "" {
				var e *SudoError
				if !errors.As(err, &e) || e.Reason != tt.reason || e.User != tt.user {
					t.Fatalf("got %v, want a SudoError because %q", err, tt.reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			hello(t, s)
			var big protocol.TransactionDetail
			if err := s.Call(t.Context(), protocol.OpShow, protocol.TransactionRequest{Transaction: strings.Repeat("ü~", 200_000)}, &big, nil); err != nil {
				t.Fatal(err)
			}
			if big.ID != strings.Repeat("ü~", 200_000) || len(big.Reason) != 1<<20 {
				t.Errorf("large messages arrive damaged: %d and %d bytes", len(big.ID), len(big.Reason))
			}
		})
	}
	eventually(t, "no daemon is left running", func() bool {
		return sshd.shell(t, "pgrep -x holdfastd || true") == ""
	})
}

// An admin has one password on all servers: it is asked once, also by several at
// a time, and again after it was wrong.
func TestSudoPasswordIsAskedOnce(t *testing.T) {
	b := newBench(t)
	one, ada := secure(t, b, "")
	two := start(t, "", account{name: "ada", password: "right", sudoers: "ada ALL=(ALL:ALL) ALL", keys: publics(t, ada.Keys)})
	d := b.desk()
	all := func() error {
		return errors.Join(Each(t.Context(), []Target{one.target("app-1", ada), two.target("app-2", ada)}, 0, 0, func(ctx context.Context, target Target) error {
			s, err := d.Open(ctx, target)
			if err == nil {
				s.Close()
			}
			return err
		})...)
	}
	if err := all(); err != nil || len(b.asked) != 1 {
		t.Fatalf("%v, asked %+v", err, b.asked)
	}
	if err := all(); err != nil || len(b.asked) != 1 {
		t.Fatalf("%v, asked %+v", err, b.asked)
	}
	b.answers[SudoPassword] = "wrong"
	d = b.desk()
	var sudo *SudoError
	if _, err := d.Open(t.Context(), one.target("app-1", ada)); !errors.As(err, &sudo) {
		t.Fatal(err)
	}
	b.answers[SudoPassword] = "right"
	b.questions()
	if err := all(); err != nil || len(b.asked) != 1 {
		t.Fatalf("after a wrong one: %v, asked %+v", err, b.asked)
	}
}

func TestKeys(t *testing.T) {
	b := newBench(t)
	locked := b.key("locked", "a long passphrase")
	open := b.key("open", "")
	server := start(t, "MaxAuthTries 3", account{name: "root", keys: publics(t, []string{line(locked)})}, account{name: "ada", keys: publics(t, []string{line(open)}), sudoers: "ada ALL=(ALL:ALL) NOPASSWD: ALL"})
	b.answers[Passphrase] = "a long passphrase"

	t.Run("encrypted file, asked once", func(t *testing.T) {
		d := b.desk()
		for range 2 {
			c, err := d.Dial(t.Context(), server.target("app-1", Login{User: "root", Keys: []string{line(locked)}}))
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		if q := b.questions(); len(q) != 1 || q[0].Kind != Passphrase || q[0].File != b.keys[0] {
			t.Errorf("asked %+v", q)
		}
	})
	t.Run("wrong passphrase", func(t *testing.T) {
		b.answers[Passphrase] = "wrong"
		defer func() { b.answers[Passphrase] = "a long passphrase" }()
		_, err := b.desk().Dial(t.Context(), server.target("app-1", Login{User: "root", Keys: []string{line(locked)}}))
		if err == nil || !strings.Contains(err.Error(), "opening the key") {
			t.Errorf("got %v", err)
		}
		if q := b.questions(); len(q) != 3 || !q[2].Again {
			t.Errorf("asked %+v", q)
		}
	})
	t.Run("nobody to ask", func(t *testing.T) {
		d := b.desk()
		d.config.Prompter = nil
		_, err := d.Dial(t.Context(), server.target("app-1", Login{User: "root", Keys: []string{line(locked)}}))
		var unasked *UnaskedError
		if !errors.As(err, &unasked) || unasked.Question.Kind != Passphrase {
			t.Errorf("got %v, want an UnaskedError", err)
		}
	})
	t.Run("only the account's own key is offered", func(t *testing.T) {
		d := b.desk()
		s, err := d.Open(t.Context(), server.target("app-1", Login{User: "ada", Keys: []string{line(open)}}))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		hello(t, s)
		if q := b.questions(); len(q) != 0 {
			t.Errorf("asked %+v", q)
		}
	})
	t.Run("more keys than the daemon looks at", func(t *testing.T) {
		a := newBench(t)
		for range 8 {
			a.key("other"+string(rune('a'+len(a.keys))), "")
		}
		d := a.desk()
		_, err := d.Dial(t.Context(), server.target("app-1", Login{User: "root"}))
		var login *LoginError
		if !errors.As(err, &login) || d.Stats().FailedLogins != 1 {
			t.Errorf("got %v, %+v, want a LoginError", err, d.Stats())
		}
	})
	t.Run("an operator without an answer", func(t *testing.T) {
		a := newBench(t)
		d := a.desk()
		_, err := d.Dial(t.Context(), server.target("app-1", Login{User: "root", Password: true}))
		if err == nil || !strings.Contains(err.Error(), "app-1: the operator has no answer") || d.Stats().FailedLogins != 0 {
			t.Errorf("got %v, %+v", err, d.Stats())
		}
	})
	t.Run("agent", func(t *testing.T) {
		a := newBench(t)
		key := a.key("id", "")
		a.startAgent()
		for range 8 { // more than a daemon would look at
			a.key("other"+string(rune('a'+len(a.keys))), "")
		}
		server := start(t, "MaxAuthTries 3", account{name: "ada", keys: publics(t, []string{line(key)})})
		c, err := a.desk().Dial(t.Context(), server.target("app-1", Login{User: "ada", Keys: []string{line(key)}}))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
	t.Run("no key", func(t *testing.T) {
		d := b.desk()
		other := newBench(t).key("other", "")
		_, err := d.Dial(t.Context(), server.target("app-1", Login{User: "ada", Keys: []string{line(other)}}))
		var login *LoginError
		if !errors.As(err, &login) || d.Stats().Connections != 0 {
			t.Errorf("got %v after %d connections, want a LoginError without any", err, d.Stats().Connections)
		}
	})
}

// The account that worked is tried first the next time.
func TestLoginIsRemembered(t *testing.T) {
	b := newBench(t)
	key := b.key("id", "")
	server := start(t, "", account{name: "root", keys: publics(t, []string{line(key)})})
	target := server.target("app-1", Login{User: "ada", Keys: []string{line(key)}}, Login{User: "root"})
	d := b.desk()
	for i, want := range []int64{1, 1, 1} {
		if i == 2 {
			d = b.desk()
			want = 0
		}
		c, err := d.Dial(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		if c.User != "root" {
			t.Errorf("logged in as %s", c.User)
		}
		c.Close()
		if got := d.Stats().FailedLogins; got != want {
			t.Errorf("connection %d: %d failed logins, want %d", i, got, want)
		}
	}
	_, err := b.desk().Dial(t.Context(), server.target("app-2", Login{User: "ada", Keys: []string{line(key)}}, Login{User: "bob"}, Login{User: "root"}))
	var login *LoginError
	if !errors.As(err, &login) {
		t.Errorf("a third account was tried: %v", err)
	}
}

func TestHostKeys(t *testing.T) {
	b := newBench(t)
	key := b.key("id", "")
	server := start(t, "", account{name: "root", keys: publics(t, []string{line(key)})})
	target := server.target("app-1", Login{User: "root"})

	b.refuse = true
	_, err := b.desk().Dial(t.Context(), target)
	var unknown *UnknownHostKeyError
	if !errors.As(err, &unknown) || len(b.seen) != 1 || b.seen[0] != unknown.Key || !strings.HasPrefix(unknown.Key.Fingerprint, "SHA256:") {
		t.Fatalf("refused: %v, shown %+v", err, b.seen)
	}
	if _, err := os.Stat(b.config.KnownHosts); err == nil {
		t.Error("a refused key was pinned")
	}

	b.refuse = false
	b.seen = nil
	d := b.desk()
	errs := Each(t.Context(), make([]struct{}, 4), 4, 0, func(ctx context.Context, _ struct{}) error {
		c, err := d.Dial(ctx, target)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if len(b.seen) != 1 {
		t.Errorf("the key was shown %d times, want once", len(b.seen))
	}
	pinned, err := os.ReadFile(b.config.KnownHosts)
	if err != nil || !strings.HasPrefix(string(pinned), "app-1,[127.0.0.1]:") {
		t.Fatalf("known_hosts: %q, %v", pinned, err)
	}

	server.stop()
	server.hostKey()
	server.run()
	for _, prove := range []bool{false, true} {
		d := b.desk()
		if prove {
			_, err = d.Prove(t.Context(), target, Login{User: "root"})
		} else {
			_, err = d.Dial(t.Context(), target)
		}
		var changed *HostKeyChangedError
		if !errors.As(err, &changed) {
			t.Fatalf("another host key: %v, want a HostKeyChangedError", err)
		}
		if changed.File != b.config.KnownHosts || changed.Line != 1 || changed.Server != "app-1" ||
			!strings.Contains(changed.Pinned, "SHA256:") || !strings.Contains(changed.Offered, "SHA256:") || changed.Pinned == changed.Offered {
			t.Errorf("%+v", changed)
		}
		if d.Stats().FailedLogins != 0 {
			t.Error("a login was tried against another host key")
		}
	}
}

// A server that has lost the pinned type of key is another one, too.
func TestHostKeyOfAnotherType(t *testing.T) {
	b := newBench(t)
	key := b.key("id", "")
	server := start(t, "", account{name: "root", keys: publics(t, []string{line(key)})})
	write(t, b.config.KnownHosts, "app-1 ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=\n")
	_, err := b.desk().Dial(t.Context(), server.target("app-1", Login{User: "root"}))
	var changed *HostKeyChangedError
	if !errors.As(err, &changed) || !strings.Contains(changed.Offered, "ssh-ed25519") || changed.Line != 1 {
		t.Errorf("got %v, want a HostKeyChangedError", err)
	}
}
