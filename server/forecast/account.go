package forecast

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// An account is a local one with its groups.
type account struct {
	accounts.Account
	groups []string
}

// usable reports whether a password can be entered for the account, and why
// not.
func (a account) usable() (bool, string) {
	switch {
	case a.Password == accounts.Empty:
		return false, "its password is empty"
	case a.Barred:
		return false, "its password is locked"
	case !a.Password.Opens():
		return false, "it has no password"
	}
	return true, ""
}

// expired says why PAM's account check refuses the account on day, "" if it
// does not.
func (a account) expired(day int) string {
	if a.Expired(day) {
		return "the account has expired"
	}
	if a.Lapsed(day) {
		return "its password has expired for too long"
	}
	return ""
}

func today() int { return accounts.Day(time.Now()) }

type looker struct {
	r        server.Reader
	c        server.Config
	accounts []account
	daemon   sshd.Daemon
	closed   bool     // /run/nologin or /etc/nologin
	absent   string   // why there is no sudo
	pam      string   // why PAM lets nobody in
	coming   []string // modules of PAM that a plan brings
}

func (l *looker) read(ctx context.Context) error {
	passwd, err := l.r.Output(ctx, "getent", "passwd")
	if err != nil {
		return fmt.Errorf("reading the accounts: %w", err)
	}
	group, err := l.r.Output(ctx, "getent", "group")
	if err != nil {
		return fmt.Errorf("reading the groups: %w", err)
	}
	secret, err := l.r.Read(ctx, "/etc/shadow")
	if err != nil {
		return fmt.Errorf("reading the accounts: %w", err)
	}
	db := accounts.Parse(passwd, group, secret.Content)
	for _, a := range db.Accounts {
		l.accounts = append(l.accounts, account{a, db.GroupsOf(a)})
	}
	if l.daemon, err = sshd.Look(ctx, l.r); err != nil {
		return err
	}
	for _, name := range []string{"/run/nologin", "/etc/nologin"} {
		_, err := l.r.Read(ctx, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.closed = l.closed || err == nil
	}
	if err := l.findModules(ctx); err != nil {
		return err
	}
	return l.findSudo(ctx)
}

func (l *looker) account(name string) (account, bool) {
	i := slices.IndexFunc(l.accounts, func(a account) bool { return a.Name == name })
	if i < 0 {
		return account{}, false
	}
	return l.accounts[i], true
}
