package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/site"
)

// errNobody says that something has to be asked and there is no terminal.
var errNobody = errors.New("there is no terminal to ask in")

// askHidden asks for a secret without showing it.
func (a *app) askHidden(what string) (server.Secret, error) {
	tty, err := a.terminal()
	if err != nil {
		return server.Secret{}, fmt.Errorf("%s: %w", what, err)
	}
	fmt.Fprintf(a.err, "%s: ", what)
	text, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(a.err)
	return server.NewSecret(string(text)), err
}

// askYes asks a question whose answer is no unless it is yes.
func (a *app) askYes(question string) (bool, error) {
	if _, err := a.terminal(); err != nil {
		return false, err
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	line, err := readLine(a.in)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// terminal returns the standard input if somebody sits there.
func (a *app) terminal() (*os.File, error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, errNobody
	}
	return f, nil
}

// readLine reads a line and nothing after it.
func readLine(r io.Reader) (string, error) {
	var line strings.Builder
	one := bufio.NewReaderSize(io.LimitReader(r, 1<<10), 16)
	for {
		c, err := one.ReadByte()
		if err != nil || c == '\n' {
			return line.String(), err
		}
		line.WriteByte(c)
	}
}

// A prompter answers what the desk asks: from secrets.age where it can, else in
// the terminal.
type prompter struct {
	app      *app
	secrets  *site.Secrets
	progress func(func()) // makes room on the terminal
}

// Secret asks for a secret.
func (p *prompter) Secret(_ context.Context, q desk.Question) (secret server.Secret, err error) {
	if !q.Again {
		if known := p.known(q); !known.IsZero() {
			return known, nil
		}
	}
	p.progress(func() {
		switch {
		case q.Again && q.Kind == desk.Code:
			p.app.say("%s did not take that code: it is wrong, or it was used there already; wait for the next one", q.Server)
		case q.Again:
			p.app.say("that was wrong")
		case q.Spent:
			p.app.say("%s has seen the last code; wait for the next one", q.Server)
		}
		secret, err = p.app.askHidden(wording(q))
	})
	if errors.Is(err, errNobody) {
		err = &desk.UnaskedError{Question: q}
	}
	return secret, err
}

func (p *prompter) known(q desk.Question) server.Secret { return p.secrets.Get(secretFor(q)) }

// secretFor is the name under which the answer to a question can be kept; empty
// if it cannot.
func secretFor(q desk.Question) string {
	switch q.Kind {
	case desk.LoginPassword:
		return site.LoginSecret(q.Account, q.Server)
	case desk.SudoPassword:
		return server.PasswordSecret(q.Account)
	}
	return ""
}

// wording is how a question is put.
func wording(q desk.Question) string {
	switch q.Kind {
	case desk.LoginPassword:
		return fmt.Sprintf("%s: password of %s, for the login", q.Server, q.Account)
	case desk.SudoPassword:
		return fmt.Sprintf("%s: password of %s, for sudo", q.Server, q.Account)
	case desk.Passphrase:
		return fmt.Sprintf("passphrase of %s", q.File)
	}
	return fmt.Sprintf("%s: %s (%s)", q.Server, strings.TrimRight(strings.TrimSpace(q.Text), ":"), q.Account)
}

// AcceptHostKey asks whether a host key is the right one.
func (p *prompter) AcceptHostKey(_ context.Context, k desk.HostKey) (yes bool, err error) {
	p.progress(func() {
		p.app.say("%s (%s) is met for the first time; its %s host key is", k.Server, k.Address, k.Type)
		p.app.say("    %s", k.Fingerprint)
		p.app.say("compare it with what the hosting provider's console shows (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)")
		yes, err = p.app.askYes("is it the same?")
	})
	if errors.Is(err, errNobody) {
		return false, nil
	}
	return yes, err
}
