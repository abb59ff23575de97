// Package accounts is the one reader of passwd(5), group(5) and shadow(5).
//
// [Load] and [Parse] read all accounts of a machine as one [Database]; lines
// that are not in the files' format are passed over, as the C library does. It
// says what it was given: the files know nothing of accounts that come from
// elsewhere, such as LDAP, and getent(1) prints those in the same format.
// [ParseAccount] and [ParseShadow] read the one line that somebody is about to
// change, and take no other for it.
//
// If a file or such a line cannot be read, that is an error: an account is
// never taken for harmless because its password could not be seen.
package accounts

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// A Database is the local accounts of one machine.
type Database struct {
	// Accounts are in the order of /etc/passwd.
	Accounts []Account
	// Groups are in the order of /etc/group.
	Groups []Group
}

// An Account is one line of /etc/passwd with its line of /etc/shadow.
type Account struct {
	Name     string
	UID, GID int
	Home     string
	// Shell is empty for /bin/sh, as in the file.
	Shell string
	// Shadowed says that /etc/passwd leaves the password to /etc/shadow.
	Shadowed bool
	// Password is what is said of it; never its hash.
	Password Password
	// Barred says that its field begins with "!", hash or not: without PAM sshd
	// takes that for a locked account, whatever a client brings.
	Barred bool
	Aging
}

// A Group is one line of /etc/group.
type Group struct {
	Name string
	GID  int
	// Members are the accounts that the line lists; those that have it as their
	// primary group are not among them.
	Members []string
}

// Password is the state of a password.
type Password string

// The states of a password.
const (
	// Usable opens the account.
	Usable Password = "usable"
	// Weak opens the account and is stored in a way that can be tried out
	// quickly: DES, BSDi's, MD5.
	Weak Password = "weak"
	// Empty opens the account without a password.
	Empty Password = "empty"
	// Locked is a usable one that was put out of use with a "!" before it.
	Locked Password = "locked"
	// None is no password: "*", "!", no line at all, or what is no hash.
	None Password = "none"
)

// Opens reports whether somebody who knows the password gets in with it.
func (p Password) Opens() bool { return p == Usable || p == Weak || p == Empty }

// Load reads the accounts of the machine that r shows.
func Load(ctx context.Context, r server.Reader) (Database, error) {
	var text [3]string
	for i, name := range []string{"/etc/passwd", "/etc/group", "/etc/shadow"} {
		e, err := r.Read(ctx, name)
		if err != nil {
			return Database{}, fmt.Errorf("reading the accounts: %w", err)
		}
		text[i] = e.Content
	}
	return Parse(text[0], text[1], text[2]), nil
}

// Parse reads the content of the three files.
func Parse(passwd, groups, shadow string) Database {
	var d Database
	hidden := map[string]Shadow{}
	for _, f := range lines(shadow, 2) {
		if _, twice := hidden[f[0]]; !twice {
			hidden[f[0]] = newShadow(f)
		}
	}
	for _, f := range lines(passwd, passwdFields) {
		a, err := newAccount(f)
		if err != nil {
			continue
		}
		s, found := hidden[a.Name]
		if a.Shadowed && found {
			a.judge(s.Hash)
		}
		if found {
			a.Aging = s.Aging()
		}
		d.Accounts = append(d.Accounts, a)
	}
	for _, f := range lines(groups, 4) {
		if gid, err := strconv.Atoi(f[2]); err == nil {
			members := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' })
			d.Groups = append(d.Groups, Group{f[0], gid, members})
		}
	}
	return d
}

// Find returns the account with a name; ok is false if there is none.
func (d Database) Find(name string) (a Account, ok bool) {
	i := slices.IndexFunc(d.Accounts, func(a Account) bool { return a.Name == name })
	if i < 0 {
		return Account{}, false
	}
	return d.Accounts[i], true
}

// GroupsOf returns the names of the groups that an account is in, its primary
// group first. A primary group without a name is left out.
func (d Database) GroupsOf(a Account) []string {
	var names []string
	for _, g := range d.Groups {
		if g.GID == a.GID {
			names = append(names, g.Name)
		}
	}
	return append(names, d.Listing(a.Name)...)
}

// Listing returns the names of the groups that list an account as a member.
func (d Database) Listing(account string) []string {
	var names []string
	for _, g := range d.Groups {
		if slices.Contains(g.Members, account) {
			names = append(names, g.Name)
		}
	}
	return names
}

// In reports whether an account is in a group, as its primary group or as a
// member.
func (d Database) In(a Account, name string) bool {
	return slices.Contains(d.GroupsOf(a), name)
}

// Group returns the name of an account's primary group, or its number.
func (d Database) Group(a Account) string {
	for _, g := range d.Groups {
		if g.GID == a.GID {
			return g.Name
		}
	}
	return strconv.Itoa(a.GID)
}

// noShells are login shells that let nobody in.
var noShells = []string{"nologin", "false", "sync", "halt", "shutdown"}

// Interactive reports whether the account's shell lets a person in.
func (a Account) Interactive() bool { return !slices.Contains(noShells, path.Base(a.Shell)) }

// LoginShell is the shell that a login starts, which for none is /bin/sh.
func (a Account) LoginShell() string {
	if a.Shell == "" {
		return "/bin/sh"
	}
	return a.Shell
}

// Keys is where sshd looks for the account's keys unless it is told otherwise.
func (a Account) Keys() string { return path.Join(a.Home, ".ssh", "authorized_keys") }
