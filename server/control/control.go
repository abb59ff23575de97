// Package control is the guide's server part as data: one slice of controls, in
// the order in which a server is to get them. [All] is the whole list; there is
// no registry.
//
// The controls for sections 3.7 and 3.8 (files ssh*.go) give each control a drop-in of
// its own under /etc/ssh/sshd_config.d, so that undoing one never touches
// another. A drop-in states its settings twice: globally, because sshd takes
// the first value it reads, and in a Match block that always matches, because
// the values of a Match block replace global ones. What a foreign file or
// option says before the drop-in is commented out, line by line, as a resource
// of its own; what stands after it is left alone unless the drop-in cannot beat
// it. The distribution's main file gets one Include line on top, and only where
// it would otherwise read something else first. A limit that the host's own
// files make stricter stays so. AllowUsers, AllowGroups and their like are never
// touched: whom they keep out is told by package server/forecast.
//
// The second factor (section 3.10, files factor*.go) is a drop-in with one Match
// block for those who are enrolled, a profile of pam-auth-update that every
// service but sshd passes over, and a secret for each admin that root alone can
// read. It is demanded of nobody who cannot show it, as long as nobody else could
// help. Programs (automation.go) have a key, networks, one command and a last
// day.
//
// The controls for sections 3.4 to 3.6 and 3.9 do the same with files of their
// own in /etc/security/pwquality.conf.d and /etc/sudoers.d. Where a foreign line
// would win over ours and asks for less, that line and nothing else is edited;
// one that asks for more is kept and taken over. Keys and accounts that the site
// does not know are reported and never removed. Root is locked only where the
// site has a way in that does not need root.
//
// The control beyond the guide has a server audit itself every day: a timer runs
// the daemon that came last, with what the last apply has told the server.
//
// The controls for section 3.11 load one table of ours and leave every other table
// alone. Another firewall of the system is refused, or switched off where the
// site file says so; Docker is lived with, because its rules are how containers
// are reached.
//
// Proofs ask what runs: sshd -T -C for every admin, root, a stranger and every
// Match condition found in the files, with the options that the running daemon
// was started with, and a handshake with the daemon itself. What cannot be asked
// is tried, in a private copy of the machine ([server.World]): weak and strong
// passwords are given with chpasswd, sudo is run without a password, and "sudo
// su -" with one, a stand-in taking the place of the admin's own.
//
// If a host cannot be read or sshd refuses its files as they are, a control
// wants nothing and returns the error: a plan with errors is not applied.
package control

import (
	"slices"

	"github.com/holdfast-security/holdfast/server"
)

// All returns every control, in the order in which a server is to get them.
func All() []server.Control {
	return slices.Concat(Time(), Passwords(), Sudo(), Admins(), SSH(), Factor(), Reach(), Firewall(), Root(), Daily())
}
