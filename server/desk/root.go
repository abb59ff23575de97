package desk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/protocol"
	"golang.org/x/crypto/ssh"
)

// Bounds of what a server may say beside the protocol.
const (
	maxNoise = 256 << 10 // before a script's first word, such as a login shell's greeting
	maxTail  = 16 << 10  // of its standard error
	maxWords = 4 << 10   // of one line of a script
)

// A script runs as root on a server and talks to this desk in lines that begin
// with a word that was made up for this run.
type script struct {
	server, user string
	session      *ssh.Session
	stdin        io.WriteCloser
	out          *bufio.Reader
	tail         *tail
	word         string
	terminal     bool
	exited       chan struct{}
	exit         error // once exited is closed
}

// errNeedsTerminal says that sudo wants one ("requiretty").
var errNeedsTerminal = errors.New("sudo wants a terminal")

// root runs a shell script as root and returns once the script has said its
// first line, without its first word. The script is given its word as $word. It
// must not contain a single quote.
func (c *Conn) root(ctx context.Context, text string, fresh bool) (*script, []string, error) {
	s, said, err := c.rootOn(ctx, text, fresh, false)
	if errors.Is(err, errNeedsTerminal) {
		return c.rootOn(ctx, text, fresh, true)
	}
	return s, said, err
}

func (c *Conn) rootOn(ctx context.Context, text string, fresh, terminal bool) (*script, []string, error) {
	prompt := "holdfast-" + randomHex() + ": "
	s := &script{server: c.Server, user: c.User, word: randomHex(), terminal: terminal, exited: make(chan struct{})}
	command := "exec env LC_ALL=C sh -c 'word=" + s.word + "; " + text + "'"
	if c.User != "root" {
		option := ""
		if fresh {
			option = "-k "
		}
		command = "exec env LC_ALL=C sudo " + option + "-S -p '" + prompt + "' -- sh -c 'word=" + s.word + "; " + text + "'"
	}
	asked := make(chan struct{}, 16)
	if err := s.begin(ctx, c, command, prompt, asked); err != nil {
		return nil, nil, err
	}
	said, err := s.firstWords(ctx, c, prompt, asked)
	if err != nil {
		s.session.Close()
		return nil, nil, err
	}
	return s, said, nil
}

// begin opens the channel and starts the command.
func (s *script) begin(ctx context.Context, c *Conn, command, prompt string, asked chan<- struct{}) error {
	err := c.bounded(ctx, "starting a command", func() error {
		var err error
		if s.session, err = c.client.NewSession(); err != nil {
			return err
		}
		if s.terminal {
			// Raw, so that what is sent arrives as it is, in both directions.
			raw := ssh.TerminalModes{
				ssh.ECHO: 0, ssh.ICANON: 0, ssh.ISIG: 0, ssh.IEXTEN: 0, ssh.OPOST: 0, ssh.ICRNL: 0, ssh.INLCR: 0, ssh.IXON: 0, ssh.IXOFF: 0,
				ssh.IMAXBEL: 0, ssh.ISTRIP: 0,
			}
			if err := s.session.RequestPty("dumb", 24, 80, raw); err != nil {
				return err
			}
		}
		s.tail = &tail{prompt: prompt, asked: asked}
		s.session.Stderr = s.tail
		stdout, err := s.session.StdoutPipe()
		if err != nil {
			return err
		}
		s.out = bufio.NewReaderSize(stdout, 64<<10)
		if s.stdin, err = s.session.StdinPipe(); err != nil {
			return err
		}
		return s.session.Start(command)
	})
	if err != nil {
		return err
	}
	go func() {
		s.exit = s.session.Wait()
		close(s.exited)
	}()
	return nil
}

// firstWords waits for the script to speak, and answers sudo's prompt once.
func (s *script) firstWords(ctx context.Context, c *Conn, prompt string, asked chan struct{}) ([]string, error) {
	type heard struct {
		words []string
		err   error
	}
	first := make(chan heard, 1)
	go func() {
		words, err := s.listen(prompt, asked)
		first <- heard{words, err}
	}()
	limit := c.desk.limits.start
	clock := time.NewTimer(limit)
	defer clock.Stop()
	prompts := 0
	for {
		select {
		case h := <-first:
			if h.err != nil {
				return nil, s.silent(c, prompts > 0, h.err)
			}
			return h.words, nil
		case <-asked:
			if prompts++; prompts > 1 {
				c.forget()
				return nil, &SudoError{Server: c.Server, User: c.User, Reason: WrongPassword}
			}
			clock.Stop()
			password, err := c.sudoPassword(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Server, err)
			}
			if _, err := io.WriteString(s.stdin, password.Reveal()+"\n"); err != nil {
				return nil, c.lost(err)
			}
			clock.Reset(limit)
		case <-clock.C:
			return nil, &TimeoutError{Server: c.Server, Phase: "becoming root", After: limit}
		case <-c.ended:
			return nil, c.lost(c.why)
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", c.Server, context.Cause(ctx))
		}
	}
}

func (c *Conn) sudoQuestion() Question {
	return Question{Kind: SudoPassword, Server: c.Server, Account: c.User}
}

func (c *Conn) forget() { c.desk.forget(c.sudoQuestion()) }

func (c *Conn) sudoPassword(ctx context.Context) (server.Secret, error) {
	if c.login.Sudo != nil {
		return c.login.Sudo(ctx)
	}
	return c.desk.ask(ctx, c.sudoQuestion())
}

// listen reads up to the script's next line and returns its words. On a terminal
// sudo's prompt comes the same way.
func (s *script) listen(prompt string, asked chan<- struct{}) ([]string, error) {
	var line []byte
	for range maxNoise {
		b, err := s.out.ReadByte()
		if err != nil {
			return nil, err
		}
		if b != '\n' {
			if line = append(line, b); len(line) > maxWords {
				line = line[len(line)-len(prompt)-1:]
			}
			if prompt != "" && bytes.HasSuffix(line, []byte(prompt)) {
				asked <- struct{}{}
			}
			continue
		}
		words := strings.Fields(protocol.Clean(string(line)))
		if len(words) > 0 && words[0] == s.word {
			return words[1:], nil
		}
		s.tail.keep(append(line, '\n'))
		line = line[:0]
	}
	return nil, fmt.Errorf("%s says too much before it comes to the point", s.server)
}

// silent explains why a script said nothing.
func (s *script) silent(c *Conn, prompted bool, err error) error {
	select {
	case <-s.exited:
	case <-c.ended:
		return c.lost(err)
	case <-time.After(2 * time.Second):
		return c.lost(err)
	}
	said := s.tail.text()
	if c.User == "root" {
		return fmt.Errorf("%s: the shell of root did not run the command: %v: %s", s.server, s.exit, said)
	}
	var missing *ssh.ExitMissingError
	if errors.As(s.exit, &missing) {
		return c.lost(s.exit)
	}
	e := &SudoError{Server: s.server, User: s.user, Reason: SudoBroken, Text: said}
	var exit *ssh.ExitError
	status := 0
	if errors.As(s.exit, &exit) {
		status = exit.ExitStatus()
	}
	has := func(texts ...string) bool {
		for _, t := range texts {
			if strings.Contains(said, t) {
				return true
			}
		}
		return false
	}
	switch {
	case has("you must have a tty", "a terminal is required to"):
		return errNeedsTerminal
	case has("not in the sudoers file", "not allowed to", "may not run sudo", "I'm sorry"):
		e.Reason = NotAllowed
	case status == 127 || has("command not found", "sudo: No such file"):
		e.Reason = NoSudo
	case prompted && has("incorrect password", "Sorry, try again", "Authentication failed", "incorrect authentication"):
		c.forget()
		e.Reason = WrongPassword
	}
	return e
}

// bounded runs f, which cannot be interrupted, and closes the connection if it
// takes too long.
func (c *Conn) bounded(ctx context.Context, phase string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	limit := c.desk.limits.start
	clock := time.NewTimer(limit)
	defer clock.Stop()
	select {
	case err := <-done:
		select {
		case <-c.ended:
			return c.lost(err)
		default:
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", c.Server, phase, clean(err))
		}
		return nil
	case <-clock.C:
		late := &TimeoutError{Server: c.Server, Phase: phase, After: limit}
		c.end(late)
		return late
	case <-ctx.Done():
		c.end(context.Cause(ctx))
		return fmt.Errorf("%s: %w", c.Server, context.Cause(ctx))
	}
}

// A tail keeps the end of what is written to it, and notices a prompt.
type tail struct {
	prompt string
	asked  chan<- struct{}

	mu    sync.Mutex
	kept  []byte
	fresh []byte // what may be the beginning of a prompt
}

func (t *tail) Write(p []byte) (int, error) {
	t.keep(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fresh = append(t.fresh, p...)
	for {
		_, rest, found := strings.Cut(string(t.fresh), t.prompt)
		if !found {
			break
		}
		t.fresh = []byte(rest)
		select {
		case t.asked <- struct{}{}:
		default: // nobody counts that far
		}
	}
	if over := len(t.fresh) - len(t.prompt); over > 0 {
		t.fresh = append(t.fresh[:0], t.fresh[over:]...)
	}
	return len(p), nil
}

func (t *tail) keep(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxTail; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
}

// text returns what was kept, cleaned and without the prompt.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(protocol.Clean(strings.ReplaceAll(string(t.kept), t.prompt, "")))
}

func randomHex() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
