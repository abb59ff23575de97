package forecast

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server/sshd"
)

// access tells what one account can do for a client at from.
func (l *looker) access(ctx context.Context, name string, kind Kind, from string) (Access, error) {
	a := Access{Account: name, Kind: kind, From: from}
	acc, ok := l.account(name)
	if !ok {
		none := Way{Why: "there is no such account"}
		a.Key, a.Password, a.Root = none, none, none
		return a, nil
	}
	spec := sshd.Spec{User: name, Host: from, Addr: from, LocalAddr: "192.0.2.2", LocalPort: l.c.Port}
	s, err := sshd.Effective(ctx, l.r, l.daemon.Options, &spec)
	if err != nil {
		return a, err
	}
	closed, err := l.refused(ctx, acc, s, from)
	if err != nil {
		return a, err
	}
	if closed != "" {
		a.Key, a.Password = Way{Why: closed}, Way{Why: closed}
	} else {
		if a.Key, a.Code, err = l.byKey(ctx, acc, s, from); err != nil {
			return a, err
		}
		a.Password = byPassword(acc, s)
	}
	a.Root, err = l.becomeRoot(ctx, acc)
	return a, err
}

// refused says why sshd or PAM refuse the account whatever it brings, "" if
// they do not.
func (l *looker) refused(ctx context.Context, a account, s sshd.Settings, from string) (string, error) {
	if !a.Interactive() {
		return "its shell is " + a.LoginShell(), nil
	}
	_, shell, err := sshd.ReadThrough(ctx, l.r, a.LoginShell())
	if errors.Is(err, fs.ErrNotExist) {
		return "its shell " + a.LoginShell() + " does not exist", nil
	}
	if err != nil {
		return "", err
	}
	if shell.Mode&0o111 == 0 {
		return "its shell " + a.LoginShell() + " cannot be executed", nil
	}
	if why := listed(a, s, from); why != "" {
		return why, nil
	}
	if s.Get("refuseconnection") == "yes" {
		return "sshd refuses its connections (RefuseConnection)", nil
	}
	if l.closed && a.Name != "root" {
		return "logins are closed (nologin)", nil
	}
	if s.Get("usepam") == "yes" {
		if l.pam != "" {
			return l.pam, nil
		}
		if why := a.expired(today()); why != "" {
			return why, nil
		}
	} else if a.Barred {
		return "its password is locked, and without PAM (UsePAM no) sshd takes that for a locked account", nil
	}
	if f := s.Get("forcecommand"); f != "" && f != "none" && f != l.command(a.Name) {
		return "sshd runs only one command for it (ForceCommand " + f + ")", nil
	}
	return "", nil
}

// command is the one that the site has a program run; empty for everybody else.
func (l *looker) command(name string) string {
	for _, p := range l.c.Automation {
		if p.Name == name {
			return p.Command
		}
	}
	return ""
}

// listed applies the four lists of names in sshd's order (sshd_config(5)).
func listed(a account, s sshd.Settings, from string) string {
	user := func(pattern string) bool { return userMatches(pattern, a.Name, from) }
	group := func(pattern string) bool {
		return slices.ContainsFunc(a.groups, func(g string) bool { return wildcard(pattern, g) })
	}
	for _, list := range []struct {
		keyword string
		deny    bool
		matches func(string) bool
	}{
		{"DenyUsers", true, user},
		{"AllowUsers", false, user},
		{"DenyGroups", true, group},
		{"AllowGroups", false, group},
	} {
		patterns := s.Words(list.keyword)
		if len(patterns) == 0 {
			continue
		}
		hit := matchList(patterns, list.matches)
		if hit == list.deny {
			return fmt.Sprintf("sshd's %s %s keeps it out", list.keyword, strings.Join(patterns, " "))
		}
	}
	return ""
}

// matchList reports whether some pattern matches and no negated one does.
func matchList(patterns []string, matches func(string) bool) bool {
	hit := false
	for _, p := range patterns {
		if negated, ok := strings.CutPrefix(p, "!"); ok {
			if matches(negated) {
				return false
			}
			continue
		}
		hit = hit || matches(p)
	}
	return hit
}

// userMatches matches USER or USER@HOST, where HOST may be a network.
func userMatches(pattern, user, from string) bool {
	i := strings.LastIndex(pattern, "@")
	if i < 0 {
		return wildcard(pattern, user)
	}
	return wildcard(pattern[:i], user) && addressMatches(pattern[i+1:], from)
}

// addressMatches matches an address pattern or a network in CIDR notation.
func addressMatches(pattern, from string) bool {
	if n, err := netip.ParsePrefix(pattern); err == nil {
		a, err := netip.ParseAddr(from)
		return err == nil && n.Contains(a.Unmap())
	}
	return wildcard(strings.ToLower(pattern), strings.ToLower(from))
}

// wildcard matches text against a pattern with * and ?.
func wildcard(pattern, text string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			pattern = strings.TrimLeft(pattern, "*")
			if pattern == "" {
				return true
			}
			for i := range len(text) {
				if wildcard(pattern, text[i:]) {
					return true
				}
			}
			return false
		case '?':
			if text == "" {
				return false
			}
		default:
			if text == "" || text[0] != pattern[0] {
				return false
			}
		}
		pattern, text = pattern[1:], text[1:]
	}
	return text == ""
}

// methods reports whether one of the lists of AuthenticationMethods can be gone
// through with what is in have, and which further ones it takes.
func methods(s sshd.Settings, have ...string) (ok bool, besides string) {
	lists := strings.Fields(s.Get("authenticationmethods"))
	if len(lists) == 0 || slices.Contains(lists, "any") {
		return true, ""
	}
	for _, list := range lists {
		var more []string
		hit := false
		for m := range strings.SplitSeq(list, ",") {
			name, _, _ := strings.Cut(m, ":")
			if slices.Contains(have, name) {
				hit = true
			} else {
				more = append(more, name)
			}
		}
		// A second factor comes by keyboard-interactive; the person has it.
		if hit && (len(more) == 0 || slices.Equal(more, []string{"keyboard-interactive"})) {
			return true, strings.Join(more, ",")
		}
	}
	return false, ""
}

// byPassword tells whether the account can log in with its password.
func byPassword(a account, s sshd.Settings) Way {
	password, asked := s.Get("passwordauthentication") == "yes", s.Get("kbdinteractiveauthentication") == "yes"
	if !password && !asked {
		return Way{Why: "sshd takes no passwords"}
	}
	var have []string
	if password {
		have = append(have, "password")
	}
	if asked {
		have = append(have, "keyboard-interactive")
	}
	if ok, _ := methods(s, have...); !ok {
		return Way{Why: "sshd asks for more than a password (AuthenticationMethods " + s.Get("authenticationmethods") + ")"}
	}
	if a.UID == 0 && s.Get("permitrootlogin") != "yes" {
		return Way{Why: "sshd lets root in without password only (PermitRootLogin " + s.Get("permitrootlogin") + ")"}
	}
	if ok, why := a.usable(); !ok {
		return Way{Why: why}
	}
	return Way{Works: true}
}
