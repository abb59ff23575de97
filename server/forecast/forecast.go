// Package forecast tells who can log in to a machine over SSH and become root,
// and why the others can not. [Look] reads it from a machine, or from the World
// in which a plan was tried; [Refuse] compares the two and says in words why a
// plan must not be carried out.
//
// What the firewall will do is told from the policy ([RefusePackets]) and from
// what listens ([CutOff]).
//
// It asks the programs that decide: sshd -T -C for each account and address,
// sudo -l -U for each account; and it reads what they would read: the account
// and its shell, its state in /etc/shadow, the files with its keys, their
// owners and modes. It cannot see what a PAM module decides at the moment of a
// login, such as a second factor or pam_access; only a real login shows that.
//
// If something cannot be told, Look fails; an account is never said to work
// because something could not be read.
package forecast

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// A Kind says why an account is looked at.
type Kind string

// The kinds.
const (
	// Admin is an admin of the site.
	Admin Kind = "admin"
	// BreakGlass is the site's way in when every other is lost: its account, or
	// root by its key from its networks.
	BreakGlass Kind = "break-glass"
	// Program is the account of a program of the site, from its first network:
	// logging in is running its one command.
	Program Kind = "program"
	// Root is root, from anywhere.
	Root Kind = "root"
	// Other is any other account that has a shell and a way in.
	Other Kind = "other"
)

// A Way is one thing that an account might be able to do.
type Way struct {
	Works bool `json:"works"`
	// Why is the reason if it does not work, and what is special if it does.
	Why string `json:"why,omitempty"`
}

// Access is what one account can do. It is plain data.
type Access struct {
	Account string `json:"account"`
	Kind    Kind   `json:"kind"`
	// From is the client's address that was asked about.
	From string `json:"from"`
	// Code says that sshd wants more of the account after its key, by a question:
	// a code.
	Code bool `json:"code,omitempty"`
	// Key and Password are logins over SSH.
	Key      Way `json:"key"`
	Password Way `json:"password"`
	// Root is becoming root once logged in: by sudo, which takes a usable
	// password unless its rules ask for none.
	Root Way `json:"root"`
}

// in reports whether the account can log in at all.
func (a Access) in() bool { return a.Key.Works || a.Password.Works }

// full reports whether the account can log in and become root.
func (a Access) full() bool { return a.in() && a.Root.Works }

// anywhere is an address that no client has (TEST-NET-1, RFC 5737).
const anywhere = "192.0.2.1"

// Look returns what the admins, the break-glass way, root and every other
// account with a shell and a way in can do on the machine that r shows. from is
// the operator's own address, empty if it is not known.
func Look(ctx context.Context, r server.Reader, c server.Config, from string) ([]Access, error) {
	return look(ctx, &looker{r: r, c: c}, from)
}

// LookAfter is [Look] at the World in which a plan was tried. No package is
// installed there, so the modules of PAM that a package of the plan brings are
// taken to be there; once it is installed, Look sees them or says that they are
// missing.
func LookAfter(ctx context.Context, r server.Reader, c server.Config, from string, p server.Plan) ([]Access, error) {
	l := looker{r: r, c: c}
	for _, s := range p.Steps {
		if one, ok := s.Resource.(resource.Package); ok {
			l.coming = append(l.coming, modulesOf[one.Package])
		}
	}
	return look(ctx, &l, from)
}

func look(ctx context.Context, l *looker, from string) ([]Access, error) {
	if from == "" {
		from = anywhere
	}
	c := l.c
	if err := l.read(ctx); err != nil {
		return nil, err
	}
	var all []Access
	add := func(name string, kind Kind, from string) error {
		a, err := l.access(ctx, name, kind, from)
		if err != nil {
			return fmt.Errorf("telling who can log in: %s: %w", name, err)
		}
		if kind != Other || a.in() {
			all = append(all, a)
		}
		return nil
	}
	named := []string{"root", c.BreakGlass.Account}
	for _, a := range c.Admins {
		named = append(named, a.Name)
		if err := add(a.Name, Admin, from); err != nil {
			return nil, err
		}
	}
	if c.BreakGlass.Account != "" {
		if err := add(c.BreakGlass.Account, BreakGlass, from); err != nil {
			return nil, err
		}
	}
	if c.BreakGlass.Key != "" && len(c.BreakGlass.From) > 0 {
		client, err := clientOf(c.BreakGlass.From[0])
		if err == nil {
			err = add("root", BreakGlass, client)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, p := range c.Automation {
		named = append(named, p.Name)
		if len(p.From) == 0 || p.Until.Over(time.Now()) {
			continue
		}
		client, err := clientOf(p.From[0])
		if err == nil {
			err = add(p.Name, Program, client)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := add("root", Root, from); err != nil {
		return nil, err
	}
	for _, a := range l.accounts {
		if slices.Contains(named, a.Name) || !a.Interactive() {
			continue
		}
		if err := add(a.Name, Other, from); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// clientOf returns an address in a network.
func clientOf(network string) (string, error) {
	s, ok := sshd.Sample([]sshd.Match{{{Name: "address", Patterns: network}}}, sshd.Spec{}, nil)
	if !ok {
		return "", fmt.Errorf("the network %q is none", network)
	}
	return s.Addr, nil
}

// Refuse says why a plan that leads from before to after must not be carried
// out; nil if nothing speaks against it. What the site wants an admin to lose
// does not, as long as one admin can do the work.
func Refuse(before, after []Access, c server.Config) []string {
	var why []string
	working := false
	for _, a := range after {
		switch a.Kind {
		case Admin:
			working = working || a.Key.Works && a.Root.Works
			if loss := lossOf(a, before); loss != "" {
				if _, wanted := c.MayLose(a.Account, time.Now()); !wanted && !late(a, c) {
					why = append(why, "the admin "+a.Account+" "+loss)
				}
			}
		case Program:
			_, wanted := c.MayLose(a.Account, time.Now())
			if was, ok := find(before, a); ok && was.Key.Works && !a.Key.Works && !wanted {
				why = append(why, "the program "+a.Account+" could not log in with its key any more: "+a.Key.Why)
			}
		case BreakGlass:
			if a.Account == "root" && !a.Key.Works {
				why = append(why, fmt.Sprintf("the break-glass key would not open root from %s: %s", a.From, a.Key.Why))
			}
		}
	}
	if working {
		return why
	}
	if lost := closing(before, after); len(lost) > 0 || !slices.ContainsFunc(after, Access.full) {
		why = append(why, nobody(after, lost, c))
	}
	return why
}

// late reports whether an account is kept out on purpose: its admin has no second
// factor, and the time to enroll is over.
func late(a Access, c server.Config) bool {
	return a.Code && a.Key.Why == notEnrolled && slices.ContainsFunc(c.Admins, func(one server.Admin) bool {
		return one.Name == a.Account && one.Factor == server.CodeAlways
	})
}

// Wanted says which of the losses that a plan brings, or leaves, the site wants,
// and why.
func Wanted(before, after []Access, c server.Config) []string {
	var all []string
	for _, a := range after {
		loss := lossOf(a, before)
		l, wanted := c.MayLose(a.Account, time.Now())
		if a.Kind != Admin || loss == "" || !wanted {
			continue
		}
		text := fmt.Sprintf("wanted by the site file: %s %s (%s", a.Account, loss, l.Reason)
		if l.Until != "" {
			text += ", until " + string(l.Until)
		}
		all = append(all, text+")")
	}
	return all
}

// lossOf says what an admin cannot do as a shows; "" if nothing is lost. Not
// being able to become root counts only for who could before: a new admin has no
// password yet.
func lossOf(a Access, before []Access) string {
	if !a.Key.Works {
		return "could not log in with a key: " + a.Key.Why
	}
	if was, ok := find(before, a); ok && was.full() && !a.Root.Works {
		return "could not become root any more: " + a.Root.Why
	}
	return ""
}

func find(all []Access, a Access) (Access, bool) {
	i := slices.IndexFunc(all, func(b Access) bool {
		return b.Account == a.Account && b.Kind == a.Kind && b.From == a.From
	})
	if i < 0 {
		return Access{}, false
	}
	return all[i], true
}

// closing returns the accounts that can become root over SSH before and not
// after.
func closing(before, after []Access) []string {
	var lost []string
	for _, b := range before {
		if a, ok := find(after, b); b.full() && (!ok || !a.full()) {
			lost = append(lost, b.Account)
		}
	}
	return lost
}

// nobody says that no admin would be left who can do the work.
func nobody(after []Access, lost []string, c server.Config) string {
	text := "no admin could log in with a key and become root"
	if len(c.Admins) == 0 {
		text += ": the site names none"
	}
	for _, a := range after {
		if a.Kind == Admin && a.Key.Works {
			text += fmt.Sprintf("; %s could log in and not become root: %s", a.Account, a.Root.Why)
		}
	}
	for _, name := range lost {
		text += fmt.Sprintf("; %s can today and could not any more", name)
	}
	return text
}
