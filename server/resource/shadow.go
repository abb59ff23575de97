package resource

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
)

// A shadowLine is an account's line in /etc/shadow.
type shadowLine struct{ accounts.Shadow }

// readShadow returns an account's line and whether the account exists.
func readShadow(ctx context.Context, r server.Reader, account string) (shadowLine, bool, error) {
	user, found, err := readAccount(ctx, r, account)
	if err != nil || !found {
		return shadowLine{}, false, err
	}
	if !user.Shadowed {
		return shadowLine{}, false, fmt.Errorf("the password of %s is not in /etc/shadow but in /etc/passwd", account)
	}
	e, err := r.Read(ctx, "/etc/shadow")
	if err != nil {
		return shadowLine{}, false, err
	}
	line, found, err := accounts.ParseShadow(e.Content, account)
	if err == nil && !found {
		err = errors.New("there is no line for " + account)
	}
	if err != nil {
		return shadowLine{}, false, fmt.Errorf("/etc/shadow: %w", err)
	}
	return shadowLine{line}, true, nil
}

// barred are fields that no password can match and that hold no secret.
var barred = regexp.MustCompile(`^[*!]+$`)

// state returns the line's state. It depends on the day: a password can become
// too old.
func (l shadowLine) state(ctx context.Context, r server.Reader) (server.State, error) {
	digest, err := server.Digest(ctx, r, l.Account+":"+l.Hash)
	if err != nil {
		return "", err
	}
	s := ""
	switch accounts.Judge(l.Hash) {
	case accounts.Empty:
		s = "empty"
	case accounts.Usable, accounts.Weak:
		s = "usable " + digest
	case accounts.Locked:
		s = "locked " + digest
	default:
		if barred.MatchString(l.Hash) {
			return server.State("none " + l.Hash), nil
		}
		s = "other " + digest
	}
	return server.State(s + l.troubles(time.Now())), nil
}

// troubles are the lines that say why a password does not work, although it is
// right.
func (l shadowLine) troubles(now time.Time) string {
	s, a := "", l.Aging()
	switch {
	case a.MustChange():
		s += "\nmust be changed at the next login"
	case a.TooOld(accounts.Day(now)):
		s += "\nis older than the account's limit"
	}
	if l.ended(now) {
		s += "\nthe account has expired"
	}
	return s
}

// ended reports whether the account has expired.
func (l shadowLine) ended(now time.Time) bool { return l.Aging().Expired(accounts.Day(now)) }

// unkeyed is what server.Digest gives where there is no key.
const unkeyed = "unkeyed"

// vaultName is the name under which the line is kept.
func (l shadowLine) vaultName(ctx context.Context, r server.Reader) (string, error) {
	digest, err := server.Digest(ctx, r, l.Account+":"+l.Hash)
	if err != nil {
		return "", err
	}
	if digest == unkeyed {
		return "", errors.New("the host has no key of digests yet")
	}
	return "password-" + digest, nil
}

// vaultNameOf is the name under which the line of a state is kept.
func vaultNameOf(ctx context.Context, r server.Reader, account string, s server.State) (string, error) {
	first, _, _ := strings.Cut(string(s), "\n")
	word, rest, _ := strings.Cut(first, " ")
	switch word {
	case "none", "empty":
		return shadowLine{accounts.Shadow{Account: account, Hash: rest}}.vaultName(ctx, r)
	case "usable", "locked", "other":
		if rest != "" && rest != unkeyed {
			return "password-" + rest, nil
		}
	}
	return "", fmt.Errorf("%q is no state of a password that can be put back", first)
}
