package ask_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server/site"
	"github.com/holdfast-security/holdfast/server/site/ask"
)

// A person sits at a terminal: reads what it shows and types.
type person struct {
	t    *testing.T
	pty  *os.File
	mu   sync.Mutex
	more *sync.Cond
	seen bytes.Buffer
	read int
	late bool
}

func terminal(t *testing.T) (*person, *os.File) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 40, Cols: 120}); err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, pty: master}
	p.more = sync.NewCond(&p.mu)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.more.Broadcast()
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	alarm := time.AfterFunc(20*time.Second, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.late = true
		p.more.Broadcast()
	})
	t.Cleanup(func() {
		alarm.Stop()
		slave.Close()
		master.Close()
	})
	return p, slave
}

var commands = regexp.MustCompile(`\x1b(\[[0-9;?<>=]*[a-zA-Z]|[=>]|\][^\x07\x1b]*(\x07|\x1b\\))`)

func (p *person) screen() string { return commands.ReplaceAllString(p.seen.String(), "") }

// see waits until text has been shown since the last time.
func (p *person) see(text string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		screen := p.screen()
		if at := strings.Index(screen[min(p.read, len(screen)):], text); at >= 0 {
			p.read += at + len(text)
			return
		}
		if p.late {
			p.t.Fatalf("it never shows %q after:\n%s", text, screen)
		}
		p.more.Wait()
	}
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := p.pty.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

type outcome struct {
	answers site.Answers
	err     error
}

func TestTerminal(t *testing.T) {
	for _, mode := range []struct{ name, term, mark string }{
		{"forms", "xterm-256color", " "},
		{"plain", "dumb", ""},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Setenv("TERM", mode.term)
			t.Setenv("ACCESSIBLE", "")
			p, tty := terminal(t)
			dir := filepath.Join(t.TempDir(), ".ssh")
			const passphrase = "Sesame, open up!"
			done := make(chan outcome, 1)
			go func() {
				answers, err := ask.Run(t.Context(), tty, tty, site.Answers{Name: "depot", Admins: []site.Admin{{Name: "carol"}}}, ask.Keys{Dir: dir})
				done <- outcome{answers, err}
			}()
			p.see("Name of the site")
			p.types("\r")
			p.see("Name of your account")
			p.types("\r")
			p.see("Keys that you log in with")
			if mode.mark == "" {
				p.types("1\r0\r")
			} else {
				p.types(mode.mark + "\r")
			}
			p.see("File of the new key")
			p.types("\r")
			p.see("Passphrase of the new key")
			p.types("short\r")
			p.see("has 5 characters and needs 16 or more")
			if mode.mark == "" {
				p.see("Passphrase of the new key")
				p.types(passphrase + "\r")
				p.see("The passphrase again")
			} else {
				p.types("\x15" + passphrase + "\r")
				p.see("shift+tab back")
			}
			p.types(passphrase + "\r")
			p.see("Made the key")
			p.see("Rules for new passwords")
			p.types("\r")
			if mode.mark == "" {
				p.see("Keep a local account")
			} else {
				p.see("toggle")
			}
			p.types("\r")
			p.see("Name of the emergency account")
			p.types("\r")
			p.see("What is the server for?")
			if mode.mark == "" {
				p.types("1\r0\r")
			} else {
				p.types(mode.mark + "\r")
			}
			p.see("Name of the server")
			p.types("\r")
			if mode.mark == "" {
				p.see("Address")
			} else {
				p.see("shift+tab back")
			}
			p.types("192.0.2.10\r")
			p.types("\r\r\r")
			p.see("Another server?")
			p.types("\r")
			got := <-done
			if got.err != nil {
				t.Fatalf("%v\n%s", got.err, p.screen())
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if strings.Contains(p.screen(), passphrase) || strings.Contains(p.screen(), "Sesame") {
				t.Errorf("the passphrase is on the screen:\n%s", p.screen())
			}
			path := filepath.Join(dir, "id_ed25519")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ssh.ParseRawPrivateKeyWithPassphrase(data, []byte(passphrase)); err != nil {
				t.Error(err)
			}
			pub, err := os.ReadFile(path + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			a := got.answers
			if len(a.Admins) != 1 || len(a.Admins[0].Keys) != 1 || a.Admins[0].Keys[0] != strings.TrimSpace(string(pub)) || len(a.Servers) != 1 || a.Servers[0].Address != "192.0.2.10" {
				t.Errorf("got %+v", a)
			}
			if _, err := site.New(a); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestBrokenOff(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("ACCESSIBLE", "")
	p, tty := terminal(t)
	done := make(chan outcome, 1)
	go func() {
		answers, err := ask.Run(t.Context(), tty, tty, site.Answers{}, ask.Keys{})
		done <- outcome{answers, err}
	}()
	p.see("Name of the site")
	p.types("\x03")
	if got := <-done; !errors.Is(got.err, ask.ErrAborted) {
		t.Errorf("got %v", got.err)
	}
}
