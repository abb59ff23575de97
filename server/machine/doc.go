// Package machine is the host that is this machine: Debian or Ubuntu Linux, seen
// and changed by a process that is root on it.
//
// A [Machine] implements server.Host. Commands are run as argv, without a shell,
// in a clean environment: PATH=/usr/sbin:/usr/bin:/sbin:/bin, LC_ALL=C and
// HOME=/root, in the directory /, without a terminal, in a session of their own.
// Whoever wants another variable says so in argv: "env", "NAME=value", … What a
// command prints is bounded, and cancelling the context ends the command with
// all its children.
//
// Files are read without following a symbolic link and up to [MaxFile] bytes.
// They are written beside their place, with owner, mode and extended attributes,
// synced, and renamed over it (package internal/durable). The draft is named
// ".NAME.NUMBER.tmp", so that no include pattern picks it up. After a crash such
// a draft may be left: the next Write or Remove of the same path deletes it, and
// Glob never shows one. Owners are names from /etc/passwd and /etc/group of the
// same view; accounts that only a directory service knows are numbers.
//
// Of the extended attributes, user.*, POSIX access control lists, file
// capabilities and trusted.* are part of an entry. Labels of security modules
// (security.selinux, security.ima, security.evm …) are not: they follow from the
// module's policy, which gives a new file its own. Nor are the marks of
// overlayfs, which are no property of the file.
//
// # Worlds
//
// [Machine.Rehearse] lends a [World]: a child process in mount and process
// namespaces of its own which sees a private copy of what [places] lists, and
// everything else read-only. It is the same program, started again with a hidden
// argument, so main and TestMain must call [ServeWorld] first:
//
//	func main() {
//		if machine.ServeWorld(os.Args) {
//			return
//		}
//		…
//	}
//
// The copies are overlays over the machine's directories with a tmpfs for the
// changes; where overlays cannot be mounted, up to 64 MiB are copied instead.
// No socket in /run is reachable from a World, syslog and journal go nowhere and
// no audit message leaves it, so the machine's log and its managers notice
// nothing. Questions to the managers, such as "systemctl show", are put to the
// live ones; orders to them, and package managers, are refused.
//
// [Machine.Enter] lends a World with a network of its own, in which daemons
// listen on the real ports and are reached by [World.Dial]: server/canary logs
// in to one. nftables can be changed there; until that is done, questions to it
// are answered by the live machine.
//
// A World ends with its Close, with its parent, and with its first process,
// whichever comes first. The kernel then ends every process in it and drops
// every mount. It never has a file on a disk.
//
// If a private copy cannot be made, that is an error: nothing is tried on the
// live machine instead.
package machine
