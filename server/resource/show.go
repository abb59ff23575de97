package resource

import (
	"regexp"
	"strings"
)

// Each kind tells what a person types on the server to see its state; see
// server.Shower.

// Show shows owner, permissions and content.
func (f File) Show() string { return showFile(f.Path) }

// Show shows whether there is a file.
func (a Absent) Show() string { return showFile(a.Path) }

// Show shows where the link leads.
func (l Link) Show() string { return "ls -l " + quote(l.Path) }

// Show shows owner and permissions.
func (d Dir) Show() string { return "ls -ld " + quote(d.Path) }

// Show shows owner and permissions.
func (p Program) Show() string { return "ls -l " + quote(p.Path) }

// Show asks dpkg.
func (p Package) Show() string { return "dpkg-query -W -f '${Status}\\n' " + quote(p.Package) }

// Show shows the account's entry and groups.
func (a Account) Show() string {
	return "getent passwd " + quote(a.Account) + "; id " + quote(a.Account)
}

// Show shows the state of the password and not its hash.
func (p Password) Show() string { return "passwd -S " + quote(p.Account) }

// Show shows how old passwords may become.
func (a Aging) Show() string { return "chage -l " + quote(a.Account) }

// Show asks systemd.
func (u Unit) Show() string {
	return "systemctl is-enabled " + quote(u.Unit) + "; systemctl is-active " + quote(u.Unit)
}

// Show asks systemd since when the daemon runs, and shows when its files changed.
func (d Daemon) Show() string {
	// Patterns are for the shell to expand.
	return "systemctl show -p ActiveEnterTimestamp,ExecReload " + quote(d.Unit) + "; ls -lc " + strings.Join(d.Config, " ")
}

// Show shows what PAM does.
func (p PAM) Show() string { return "grep -v '^#' /etc/pam.d/common-*" }

// Show lists the table.
func (t Table) Show() string { return "nft list table " + quote(t.Family) + " " + quote(t.Table) }

// Show asks systemd whether it has to read files again.
func (l Loaded) Show() string { return "systemctl show -p NeedDaemonReload " + quote(l.Unit) }

// Show asks systemd.
func (s Started) Show() string { return "systemctl is-active " + quote(s.Unit) }

func showFile(path string) string { return "ls -l " + quote(path) + " && cat " + quote(path) }

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// quote quotes a word for a person's shell.
func quote(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
