package resource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Password is the password of a local account. Its states begin with one of
//
//	usable DIGEST   a password opens the account
//	locked DIGEST   one would, but for a "!" before its hash
//	none FIELD      none does: the field is made of "*" and "!" alone
//	empty           the account opens without a password
//	other DIGEST    something that is no hash
//
// and say in further lines what else keeps the password from working.
type Password struct {
	// Account is the account's name.
	Account string `json:"account"`
	// Locked wants that no password opens the account; otherwise any usable
	// password is good enough.
	Locked bool `json:"locked"`
	// Secret becomes the password if there is no usable one.
	Secret server.Secret `json:"-"`
}

// Name returns "password NAME".
func (p Password) Name() string { return "password " + p.Account }

// Want returns "none *" if the account is to be locked, otherwise "usable".
func (p Password) Want() server.State {
	if p.Locked {
		return "none *"
	}
	return "usable"
}

// Accepts reports whether s is locked, in whatever way, or usable with nothing
// in its way.
func (p Password) Accepts(s server.State) bool {
	first, rest, _ := strings.Cut(string(s), "\n")
	word, _, _ := strings.Cut(first, " ")
	if p.Locked {
		return word == "none" || word == "locked"
	}
	return word == "usable" && rest == ""
}

// Get returns the state of the account's line in /etc/shadow, empty if there is
// no such account.
func (p Password) Get(ctx context.Context, r server.Reader) (server.State, error) {
	line, found, err := readShadow(ctx, r, p.Account)
	if err != nil || !found {
		return "", err
	}
	now, err := line.state(ctx, r)
	if err != nil {
		return "", err
	}
	record, found, err := begun(ctx, r, p)
	if err != nil {
		return "", err
	}
	if found {
		now = record.settle(now, splitPassword)
	}
	return now, nil
}

// splitPassword cuts a state into what the hash and what the days say.
func splitPassword(s server.State) []string {
	hash, days, _ := strings.Cut(string(s), "\n")
	return []string{hash, days}
}

// Set gives the account a state that Accepts finds good, if s is one, and
// otherwise puts back the line of /etc/shadow that s was read from.
func (p Password) Set(ctx context.Context, h server.Host, s server.State) error {
	if err := checkName("an account", p.Account); err != nil {
		return err
	}
	line, found, err := readShadow(ctx, h, p.Account)
	if err != nil {
		return err
	}
	if !found {
		if s == "" {
			return nil
		}
		return fmt.Errorf("there is no account %s", p.Account)
	}
	record, unfinished, err := begun(ctx, h, p)
	if err != nil {
		return err
	}
	if !p.Accepts(s) {
		return p.restore(ctx, h, line, s)
	}
	if unfinished {
		// Somebody gave up putting the old line back and wants another again.
		if err := p.restore(ctx, h, line, record.Before); err != nil {
			return err
		}
		if line, _, err = readShadow(ctx, h, p.Account); err != nil {
			return err
		}
	}
	now, err := line.state(ctx, h)
	if err != nil || p.Accepts(now) {
		return err
	}
	return p.replace(ctx, h, line)
}

// replace keeps the line and then changes it.
func (p Password) replace(ctx context.Context, h server.Host, line shadowLine) error {
	if !p.Locked && line.ended(time.Now()) {
		return fmt.Errorf("the account %s has expired, so no password can open it", p.Account)
	}
	if err := p.checkSecret(); err != nil {
		return err
	}
	name, err := line.vaultName(ctx, h)
	if err != nil {
		return err
	}
	if err := keep(ctx, h, name, line.Hash+":"+line.Changed); err != nil {
		return err
	}
	return p.change(ctx, h)
}

// maxPassword is what PAM takes, PAM_MAX_RESP_SIZE less its end.
const maxPassword = 511

// checkSecret refuses what chpasswd would read as something else.
func (p Password) checkSecret() error {
	secret := p.Secret.Reveal()
	switch {
	case p.Locked:
		return nil
	case secret == "":
		return &server.NeedsSecretError{Secret: server.PasswordSecret(p.Account)}
	case len(secret) > maxPassword:
		return &PasswordRefusedError{Account: p.Account, Reason: fmt.Sprintf("it is longer than %d bytes", maxPassword)}
	case strings.ContainsAny(secret, "\n\r\x00"):
		return &PasswordRefusedError{Account: p.Account, Reason: "it contains a line break or a zero byte"}
	}
	return nil
}

func (p Password) change(ctx context.Context, h server.Host) error {
	if p.Locked {
		return run(ctx, h, "", "usermod", "-p", "*", p.Account)
	}
	secret := p.Secret.Reveal()
	err := run(ctx, h, p.Account+":"+secret+"\n", "chpasswd")
	var failed *server.CommandError
	if !errors.As(err, &failed) {
		return err
	}
	// Whatever a PAM module says, it must not be the password.
	said := strings.ReplaceAll(failed.Output, secret, "REDACTED")
	if failed.Err == nil && (strings.Contains(said, "BAD PASSWORD") || strings.Contains(said, "pam_chauthtok() failed")) {
		return &PasswordRefusedError{Account: p.Account, Reason: verdict(said)}
	}
	return &server.CommandError{Argv: failed.Argv, Exit: failed.Exit, Output: said, Err: failed.Err}
}

// verdict is what the check says, which chpasswd repeats for every try, or all
// that was said if there is no such line.
func verdict(said string) string {
	for line := range strings.Lines(said) {
		if _, text, ok := strings.Cut(line, "BAD PASSWORD: "); ok {
			return strings.TrimSpace(text)
		}
	}
	return strings.Join(strings.Fields(said), " ")
}

// restore puts back the line whose state was s: first the hash, then the day of
// its last change, which chpasswd sets to today. The line that it replaces is
// kept in its turn, because what is put back may be undone as well.
func (p Password) restore(ctx context.Context, h server.Host, now shadowLine, s server.State) error {
	name, err := vaultNameOf(ctx, h, p.Account, s)
	if err != nil {
		return err
	}
	text, found, err := kept(ctx, h, name)
	if err != nil {
		return err
	}
	state, err := now.state(ctx, h)
	if err != nil {
		return err
	}
	if !found {
		if state == s {
			return forget(ctx, h, halfName(p))
		}
		return fmt.Errorf("the password of %s that was replaced is not kept any more", p.Account)
	}
	if _, found, err := begun(ctx, h, p); err != nil {
		return err
	} else if !found {
		replaced, err := now.vaultName(ctx, h)
		if err != nil {
			return err
		}
		if err := keep(ctx, h, replaced, now.Hash+":"+now.Changed); err != nil {
			return err
		}
		if err := (half{Before: s, After: state}).begin(ctx, h, p); err != nil {
			return err
		}
	}
	hash, changed, _ := strings.Cut(text, ":")
	if now.Hash != hash {
		if err := run(ctx, h, p.Account+":"+hash+"\n", "chpasswd", "-e"); err != nil {
			return err
		}
		if now, _, err = readShadow(ctx, h, p.Account); err != nil {
			return err
		}
	}
	if now.Changed != changed {
		day := changed
		if day == "" {
			day = "-1" // chage empties the field
		}
		if err := run(ctx, h, "", "chage", "-d", day, p.Account); err != nil {
			return err
		}
		if now, _, err = readShadow(ctx, h, p.Account); err != nil {
			return err
		}
	}
	if now.Hash != hash || now.Changed != changed {
		return fmt.Errorf("the password of %s was put back, but the host does not show it", p.Account)
	}
	return forget(ctx, h, halfName(p))
}

// A PasswordRefusedError says that a password was not taken. The account has
// the one that it had.
type PasswordRefusedError struct {
	Account string
	// Reason is what PAM said about it; it does not hold the password.
	Reason string
}

// Error names the account and gives the reason.
func (e *PasswordRefusedError) Error() string {
	return fmt.Sprintf("the new password of %s was refused: %s", e.Account, e.Reason)
}
