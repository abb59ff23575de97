package ask

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"

	"charm.land/huh/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

// ErrAborted says that the person broke off.
var ErrAborted = errors.New("broken off")

// Keys are the SSH keys that can be offered.
type Keys struct {
	// Found are the keys of the person at the desk, from [site.FindKeys].
	Found []site.FoundKey
	// Dir is where a new key is made if the person wants one; empty if none is
	// to be offered.
	Dir string
}

// Run asks for a site, offering what defaults holds. Servers and admins beyond
// the first that are in defaults stay as they are. The error is [ErrAborted] if
// the person broke off, and wraps [io.ErrUnexpectedEOF] if in ended.
//
// In a terminal the end of ctx ends a form; plain questions look at it between
// two answers.
//
// The result has no problems that can be told from one answer; [site.New] finds
// the others.
func Run(ctx context.Context, in io.Reader, out io.Writer, defaults site.Answers, keys Keys) (site.Answers, error) {
	a := newAsker(ctx, in, out)
	answers := defaults
	answers.Admins = slices.Clone(defaults.Admins)
	answers.Servers = slices.Clone(defaults.Servers)
	for _, part := range []func(*site.Answers) error{
		a.siteName,
		func(to *site.Answers) error { return a.admin(to, keys) },
		a.rules,
		a.servers,
	} {
		if err := part(&answers); err != nil {
			return site.Answers{}, err
		}
	}
	return answers, nil
}

// An asker shows one form after the other.
type asker struct {
	ctx   context.Context
	in    io.Reader
	out   io.Writer
	plain *lineReader // nil in a terminal
}

func newAsker(ctx context.Context, in io.Reader, out io.Writer) *asker {
	a := &asker{ctx: ctx, in: in, out: out}
	if !isTerminal(in) || !isTerminal(out) || os.Getenv("TERM") == "dumb" || os.Getenv("ACCESSIBLE") != "" {
		a.plain = &lineReader{in: in}
		a.in = a.plain
		// The library colours plain questions too; this leaves what out can show.
		a.out = colorprofile.NewWriter(out, os.Environ())
		if f, ok := in.(*os.File); ok && isTerminal(f) {
			a.in = terminalReader{a.plain, f}
		}
	}
	return a
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// A lineReader reads no further than one line at a time, because each plain
// question reads its input through a buffer of its own, and remembers the end.
type lineReader struct {
	in    io.Reader
	ended bool
}

// Read reads one byte.
func (r *lineReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := r.in.Read(p[:1])
	if err != nil {
		r.ended = true
	}
	return n, err
}

// A terminalReader is a lineReader that has the terminal's descriptor, which
// reading without echo needs.
type terminalReader struct {
	*lineReader
	file *os.File
}

// Fd returns the descriptor of the terminal.
func (r terminalReader) Fd() uintptr { return r.file.Fd() }

// form asks fields together.
func (a *asker) form(fields ...huh.Field) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	err := huh.NewForm(huh.NewGroup(fields...)).
		WithInput(a.in).WithOutput(a.out).WithAccessible(a.plain != nil).
		WithTheme(huh.ThemeFunc(huh.ThemeBase16)).RunWithContext(a.ctx)
	switch {
	case errors.Is(err, huh.ErrUserAborted):
		return ErrAborted
	case err != nil && a.ctx.Err() != nil:
		return a.ctx.Err()
	case err != nil:
		return fmt.Errorf("asking: %w", err)
	case a.plain != nil && a.plain.ended:
		return fmt.Errorf("asking: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

// input is a line of text with a rule. What value holds is offered, and an empty
// answer takes it.
func (a *asker) input(title, about string, value *string, rule func(string) error) huh.Field {
	offered := *value
	if a.plain != nil {
		if about != "" {
			title += " (" + about + ")"
		}
		if offered != "" {
			title += " [" + offered + "]"
		}
		title += ":"
	}
	return huh.NewInput().Title(title).Description(about).Value(value).Validate(func(s string) error {
		s = strings.TrimSpace(s)
		if a.plain != nil && s == "" {
			s = offered
		}
		return rule(s)
	})
}

// show prints lines between forms.
func (a *asker) show(lines ...string) error {
	_, err := fmt.Fprintln(a.out, strings.Join(lines, "\n"))
	return err
}

// orEmpty is rule for what may be left out.
func orEmpty(rule func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return rule(s)
	}
}

func (a *asker) siteName(to *site.Answers) error {
	to.Name = cmp.Or(to.Name, "shop")
	if err := a.form(a.input("Name of the site", "what you call all of it", &to.Name, site.CheckServerName)); err != nil {
		return err
	}
	to.Name = strings.TrimSpace(to.Name)
	return nil
}

// login is the name of the person at the desk if it can be an admin's.
func login() string {
	u, err := user.Current()
	if err != nil || site.CheckAccountName(u.Username) != nil {
		return ""
	}
	return u.Username
}

func (a *asker) rules(to *site.Answers) error {
	rescue := to.BreakGlass != nil || len(to.Servers) == 0
	passwords := cmp.Or(to.Passwords, server.PasswordsGuide)
	err := a.form(
		huh.NewSelect[server.PasswordRules]().Title("Rules for new passwords").Options(
			huh.NewOption("the guide's: 10 or more characters, upper, lower, digit and other", server.PasswordsGuide),
			huh.NewOption("NIST's: 15 or more characters, any", server.PasswordsNIST),
		).Value(&passwords),
		huh.NewConfirm().Title("Keep a local account for emergencies? Without one root is not locked").Value(&rescue),
	)
	if err != nil {
		return err
	}
	to.Passwords = passwords
	if !rescue {
		to.BreakGlass = nil
		return nil
	}
	b := site.BreakGlass{Account: "rescue"}
	if to.BreakGlass != nil {
		b = *to.BreakGlass
	}
	if b.Account == "" {
		return nil // a key is the way in, and stays it
	}
	taken := func(name string) error {
		if slices.ContainsFunc(to.Admins, func(a site.Admin) bool { return a.Name == name }) {
			return fmt.Errorf("%s is an admin; the emergency account must not depend on one", name)
		}
		return site.CheckAccountName(name)
	}
	if err := a.form(a.input("Name of the emergency account", "works on the console, with a password", &b.Account, taken)); err != nil {
		return err
	}
	b.Account = strings.TrimSpace(b.Account)
	to.BreakGlass = &b
	return nil
}
