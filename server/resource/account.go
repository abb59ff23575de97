package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
)

// An Account is a local account for a person, with a group and a home of its
// own. An account that exists keeps its number, home, password and groups.
type Account struct {
	// Account is the account's name.
	Account string `json:"account"`
	// Shell is the login shell's path.
	Shell string `json:"shell"`
	// Groups are to be had besides those it has; they must exist.
	Groups []string `json:"groups,omitempty"`
}

// Name returns "account NAME".
func (a Account) Name() string { return "account " + a.Account }

// Want returns the shell and the wanted groups.
func (a Account) Want() server.State { return accountState(a.Shell, a.Groups) }

// Accepts reports whether s has the shell and at least the groups.
func (a Account) Accepts(s server.State) bool {
	shell, groups, err := parseAccountState(s)
	if err != nil || s == "" || shell != a.Shell {
		return false
	}
	for _, g := range a.Groups {
		if !slices.Contains(groups, g) {
			return false
		}
	}
	return true
}

func accountState(shell string, groups []string) server.State {
	groups = slices.Clone(groups)
	slices.Sort(groups)
	line := strings.Join(append([]string{"groups"}, slices.Compact(groups)...), " ")
	return server.State("shell " + shell + "\n" + line + "\n")
}

// parseAccountState is the inverse of accountState.
func parseAccountState(s server.State) (shell string, groups []string, err error) {
	if s == "" {
		return "", nil, nil
	}
	lines := strings.Split(string(s), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "shell ") || !strings.HasPrefix(lines[1], "groups") || lines[2] != "" {
		return "", nil, fmt.Errorf("%q is no state of an account", s)
	}
	return strings.TrimPrefix(lines[0], "shell "), strings.Fields(lines[1])[1:], nil
}

// Get returns the shell and the groups that list the account as a member,
// empty if there is no such account in /etc/passwd.
func (a Account) Get(ctx context.Context, r server.Reader) (server.State, error) {
	has, found, err := readAccount(ctx, r, a.Account)
	if err != nil || !found {
		return "", err
	}
	e, err := r.Read(ctx, "/etc/group")
	if err != nil {
		return "", err
	}
	return accountState(has.Shell, accounts.Parse("", e.Content, "").Listing(a.Account)), nil
}

// Set makes the account, or gives it the shell and groups of s, or removes it
// with its home if s is empty. Each is one command, so that no state in between
// can be left behind.
func (a Account) Set(ctx context.Context, h server.Host, s server.State) error {
	if err := checkName("an account", a.Account); err != nil {
		return err
	}
	now, err := a.Get(ctx, h)
	if err != nil || now == s {
		return err
	}
	switch {
	case s == "":
		return a.remove(ctx, h)
	case now == "":
		return a.create(ctx, h)
	case a.Accepts(now) && a.Accepts(s):
		return nil
	case a.Accepts(s):
		argv := []string{"usermod", "-s", a.Shell}
		if len(a.Groups) > 0 {
			argv = append(argv, "-aG", strings.Join(a.Groups, ","))
		}
		return run(ctx, h, "", append(argv, a.Account)...)
	}
	shell, groups, err := parseAccountState(s)
	if err != nil {
		return err
	}
	return run(ctx, h, "", "usermod", "-s", shell, "-G", strings.Join(groups, ","), a.Account)
}

// remove ends what the account still runs, such as the session of the operator
// who undoes its creation, because userdel leaves an account alone that is in
// use. Then it removes account and home.
func (a Account) remove(ctx context.Context, h server.Host) error {
	err := h.Run(ctx, "", "pkill", "-KILL", "-u", a.Account)
	const nobody = 1 // pkill's exit status if no process matched
	if failed := (*server.CommandError)(nil); errors.As(err, &failed) && failed.Exit == nobody {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("ending the processes of %s: %w", a.Account, err)
	}
	return run(ctx, h, "", "userdel", "-r", a.Account)
}

// create makes the account as adduser of Debian would, with a home that is
// closed to others.
func (a Account) create(ctx context.Context, h server.Host) error {
	home := "/home/" + a.Account
	_, found, err := readEntry(ctx, h, home)
	if err != nil {
		return err
	}
	if found {
		// useradd would take it as it is, whoever owns it, and undo would
		// delete it.
		return fmt.Errorf("%s exists although there is no account %s", home, a.Account)
	}
	argv := []string{"useradd", "-m", "-d", home, "-U", "-s", a.Shell, "-K", "HOME_MODE=0700"}
	if len(a.Groups) > 0 {
		argv = append(argv, "-G", strings.Join(a.Groups, ","))
	}
	return run(ctx, h, "", append(argv, a.Account)...)
}
