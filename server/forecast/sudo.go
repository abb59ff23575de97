package forecast

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/sshd"
)

const sudoBinary = "/usr/bin/sudo"

// findSudo sees whether sudo is there and can do its work.
func (l *looker) findSudo(ctx context.Context) error {
	_, e, err := sshd.ReadThrough(ctx, l.r, sudoBinary)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.absent = "sudo is not installed"
	case err != nil:
		return err
	case e.Mode&fs.ModeSetuid == 0 || e.Owner != "root":
		l.absent = sudoBinary + " does not belong to root with the setuid bit"
	}
	return nil
}

// anything is a rule that lets an account run every command as root:
// "(ALL : ALL) NOPASSWD: ALL".
var anything = regexp.MustCompile(`^\s*\((?:ALL|root)(?:\s*:\s*[^)]+)?\)\s+((?:[A-Z_]+:\s*)*)ALL\s*$`)

// becomeRoot tells whether the account can become root by sudo.
func (l *looker) becomeRoot(ctx context.Context, a account) (Way, error) {
	if a.UID == 0 {
		return Way{Works: true}, nil
	}
	if l.absent != "" {
		return Way{Why: l.absent}, nil
	}
	out, err := l.r.Output(ctx, "sudo", "-n", "-l", "-U", a.Name)
	var failed *server.CommandError
	if errors.As(err, &failed) && failed.Exit == 1 && strings.Contains(failed.Output, "not allowed") {
		return Way{Why: "no rule of sudo lets it"}, nil
	}
	if err != nil {
		return Way{}, err
	}
	return rootByRules(out, a), nil
}

// rootByRules reads what sudo -l prints. The last rule that matches decides.
func rootByRules(text string, a account) Way {
	w := Way{Why: "no rule of sudo lets it run everything"}
	if strings.Contains(text, "is not allowed to run sudo") {
		w.Why = "no rule of sudo lets it"
	}
	for line := range strings.Lines(text) {
		m := anything.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			continue
		}
		if strings.Contains(m[1], "NOPASSWD:") {
			w = Way{Works: true, Why: "without password"}
			continue
		}
		usable, why := a.usable()
		w = Way{Works: usable}
		if !usable {
			w.Why = "sudo asks for its password, and " + why
		}
	}
	return w
}
