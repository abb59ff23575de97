//go:build linux

package machine

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// ErrNotInWorld is wrapped by the error of a command that would act on more than
// the private copy and is therefore refused in a [World].
var ErrNotInWorld = errors.New("must not be run in a private copy of the machine")

// questions are, by program that gives orders to a manager of the live machine
// (or to its kernel or packages), the commands that only ask. A program without
// any cannot be asked through a World.
func questions(program string) (asks []string, isManager bool) {
	switch program {
	case "systemctl":
		return []string{
			"show", "status", "cat", "is-active", "is-enabled", "is-failed", "is-system-running", "list-units",
			"list-unit-files", "list-timers", "list-sockets", "list-dependencies", "list-jobs", "get-default", "--version",
		}, true
	case "timedatectl":
		return []string{"", "show", "status", "show-timesync", "timesync-status"}, true
	case "loginctl":
		return []string{
			"", "list-sessions", "list-users", "list-seats", "session-status", "user-status", "show-session", "show-user",
		}, true
	case "hostnamectl":
		return []string{"", "status"}, true
	case "service", "invoke-rc.d", "update-rc.d", "deb-systemd-helper", "deb-systemd-invoke", "systemd-run",
		"shutdown", "reboot", "poweroff", "halt", "telinit", "init", "busctl", "dbus-send", "gdbus":
		return nil, true
	}
	return nil, false
}

// changesPackages reports whether the program changes packages. Asking them is
// fine in a World: there they find their data read-only.
func changesPackages(program string) bool {
	switch program {
	case "apt", "apt-get", "aptitude", "dpkg", "dpkg-reconfigure", "unattended-upgrade", "snap":
		return true
	}
	return false
}

// changesKernel reports whether the program changes what no World keeps apart.
func changesKernel(program string) bool {
	switch program {
	case "sysctl", "modprobe", "insmod", "rmmod", "mount", "umount", "swapoff", "swapon", "hwclock", "date", "auditctl":
		return true
	}
	return false
}

// changesNetwork reports whether the program changes the network.
func changesNetwork(program string) bool {
	switch program {
	case "ip", "tc", "nft", "iptables", "ip6tables", "iptables-restore", "ip6tables-restore", "ipset", "ufw",
		"ifup", "ifdown", "netplan", "wg":
		return true
	}
	return false
}

// refused returns an error if a World must not run argv, for changes or to look.
func (w *World) refused(argv []string, change bool) error {
	program, _ := programOf(argv)
	_, isManager := questions(program)
	if isManager || change && (changesPackages(program) || changesKernel(program) || changesNetwork(program) && !w.network) {
		return &server.CommandError{Argv: argv, Exit: -1, Err: fmt.Errorf("%s %w", program, ErrNotInWorld)}
	}
	return nil
}

// asksManager reports whether argv is a question to a manager.
func asksManager(argv []string) bool {
	program, args := programOf(argv)
	asks, ok := questions(program)
	return ok && slices.Contains(asks, verb(args))
}

// asksFilter reports whether argv is a question to nftables.
func asksFilter(argv []string) bool {
	program, args := programOf(argv)
	return program == "nft" && slices.Contains(args, "list")
}

// programOf returns the program that argv runs and its arguments, looking
// through "env" and "timeout".
func programOf(argv []string) (string, []string) {
	for len(argv) > 0 {
		name := filepath.Base(argv[0])
		argv = argv[1:]
		switch name {
		case "env":
			for len(argv) > 0 && (strings.HasPrefix(argv[0], "-") || strings.Contains(argv[0], "=")) {
				argv = argv[1:]
			}
		case "timeout":
			for len(argv) > 0 && strings.HasPrefix(argv[0], "-") {
				argv = argv[1:]
			}
			argv = argv[min(1, len(argv)):] // the time
		default:
			return name, argv
		}
	}
	return "", nil
}

// verb returns the first argument that is not an option, or --version. The
// options of systemctl that take a value as the next argument are known.
func verb(args []string) string {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--version":
			return a
		case slices.Contains([]string{"-p", "-P", "-t", "-n", "-o", "--property", "--type", "--state", "--lines", "--output"}, a):
			i++
		case !strings.HasPrefix(a, "-"):
			return a
		}
	}
	return ""
}
