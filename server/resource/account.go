package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
)

// An Account is a local account for a person, with a group and a home of its
// own. An account that exists keeps its number, home, password and groups.
//
// When it is removed its home is kept in the vault, and comes back with the
// account: undo must not cost anybody's files, and neither must an undo that is
// rolled back.
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

func (a Account) home() string { return "/home/" + a.Account }

func (a Account) keptHome() string { return vaultDir + "/home-" + a.Account }

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
// and keeps its home if s is empty. What a removal that was cut off leaves is an
// account without its home, which [Account.Sweep] mends.
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

// Sweep removes locks and drafts that a killed useradd, usermod or userdel has
// left, and brings back the home of an account that was not removed after all.
func (a Account) Sweep(ctx context.Context, h server.Host) error {
	if err := sweepAccounts(ctx, h); err != nil {
		return err
	}
	_, found, err := readAccount(ctx, h, a.Account)
	if err != nil || !found {
		return err
	}
	return a.bringHome(ctx, h)
}

// remove ends what the account still runs, such as the session of the operator
// who undoes its creation, because userdel leaves an account alone that is in
// use. Then it keeps the home and removes the account. If the account logs in
// again meanwhile, it begins anew.
func (a Account) remove(ctx context.Context, h server.Host) error {
	return patiently(ctx, func() error {
		if err := a.end(ctx, h); err != nil {
			return err
		}
		if err := a.keepHome(ctx, h); err != nil {
			return err
		}
		return h.Run(ctx, "", "userdel", a.Account)
	})
}

// keepHome moves the home into the vault, beside one that may be there from
// another time.
func (a Account) keepHome(ctx context.Context, h server.Host) error {
	_, found, err := readEntry(ctx, h, a.home())
	if err != nil || !found {
		return err
	}
	if err := makeVault(ctx, h); err != nil {
		return err
	}
	if err := h.Run(ctx, "", "mv", "--backup=numbered", "-T", a.home(), a.keptHome()); err != nil {
		return fmt.Errorf("keeping the home of %s: %w", a.Account, err)
	}
	if _, found, err = readEntry(ctx, h, a.home()); err == nil && found {
		err = fmt.Errorf("the home of %s was moved away, but is still there", a.Account)
	}
	return err
}

// bringHome moves the home back from the vault, if it is there and nowhere else,
// and gives it to the account if that has another number now.
func (a Account) bringHome(ctx context.Context, h server.Host) error {
	_, found, err := readEntry(ctx, h, a.home())
	if err != nil || found {
		return err
	}
	e, found, err := readEntry(ctx, h, a.keptHome())
	if err != nil || !found {
		return err
	}
	if e.Owner != a.Account || e.Group != a.Account {
		if err := h.Run(ctx, "", "chown", "-R", "-h", a.Account+":"+a.Account, a.keptHome()); err != nil {
			return err
		}
	}
	if err := h.Run(ctx, "", "mv", "-T", a.keptHome(), a.home()); err != nil {
		return fmt.Errorf("bringing the home of %s back: %w", a.Account, err)
	}
	if _, found, err = readEntry(ctx, h, a.home()); err == nil && !found {
		err = fmt.Errorf("the home of %s was moved back, but is not there", a.Account)
	}
	return err
}

// end ends the processes that run as the account or were started by it and
// became root, such as a sudo that waits for a password.
func (a Account) end(ctx context.Context, h server.Host) error {
	for _, uid := range []string{"--euid", "--uid"} {
		err := h.Run(ctx, "", "pkill", "-KILL", uid, a.Account)
		const nobody = 1 // pkill's exit status if no process matched
		if failed := (*server.CommandError)(nil); errors.As(err, &failed) && failed.Exit == nobody {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("ending the processes of %s: %w", a.Account, err)
		}
	}
	return nil
}

// create makes the account as adduser of Debian would, with a home that is
// closed to others: the one that was kept, if there is one.
func (a Account) create(ctx context.Context, h server.Host) error {
	_, found, err := readEntry(ctx, h, a.home())
	if err != nil {
		return err
	}
	if found {
		// useradd would take it as it is, whoever owns it, and undo would
		// take it away.
		return fmt.Errorf("%s exists although there is no account %s", a.home(), a.Account)
	}
	e, kept, err := readEntry(ctx, h, a.keptHome())
	if err != nil {
		return err
	}
	argv := []string{"useradd", "-d", a.home(), "-U", "-s", a.Shell}
	if kept {
		argv = append(argv, "-M")
		if _, err := strconv.Atoi(e.Owner); err == nil {
			argv = append(argv, "-u", e.Owner) // the number that it had, since nobody has it now
		}
	} else {
		argv = append(argv, "-m", "-K", "HOME_MODE=0700")
	}
	if len(a.Groups) > 0 {
		argv = append(argv, "-G", strings.Join(a.Groups, ","))
	}
	if err := run(ctx, h, "", append(argv, a.Account)...); err != nil {
		return err
	}
	return a.bringHome(ctx, h)
}
