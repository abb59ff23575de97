package resource

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// aptArgv is apt-get without a terminal, a question or a restart behind its
// user's back. The environment is part of the command because sudo and systemd
// drop it. Configuration files that somebody changed stay as they are.
func aptArgv(args ...string) []string {
	return append([]string{
		"env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "NEEDRESTART_SUSPEND=1", "UCF_FORCE_CONFFOLD=1",
		"apt-get", "-q", "-y",
		// unattended-upgrades may be at work, above all on a new server.
		"-o", "DPkg::Lock::Timeout=120",
		"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
	}, args...)
}

// apt runs apt-get to change the host.
func apt(ctx context.Context, h server.Host, args ...string) error {
	return run(ctx, h, "", aptArgv(args...)...)
}

// A simulation is what apt-get would do.
type simulation struct {
	installed, upgraded, removed []string
}

// simulate asks apt-get what verb would do with packages. It takes no locks.
func simulate(ctx context.Context, r server.Reader, verb string, names ...string) (simulation, error) {
	args := []string{"-s", "-o", "Debug::NoLocking=1", verb, "--no-install-recommends"}
	out, err := r.Output(ctx, aptArgv(append(args, names...)...)...)
	if err != nil {
		return simulation{}, err
	}
	return parseSimulation(out)
}

// parseSimulation reads what apt-get -s prints:
//
//	Inst libpwquality1 (1.4.5-1+b1 Debian:12.0/oldstable [amd64])
//	Inst base-files [12.4] (12.4+deb12u1 Debian:12.0/oldstable [amd64])
//	Remv foo [1.2]
//	Purg foo [1.2]
//
// The second line is an upgrade, from the version in brackets.
func parseSimulation(out string) (simulation, error) {
	var s simulation
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) == 0 || !slices.Contains([]string{"Inst", "Remv", "Purg"}, words[0]) {
			continue
		}
		if len(words) < 3 {
			return simulation{}, fmt.Errorf("apt-get would do %q", strings.TrimSpace(line))
		}
		switch name := words[1]; {
		case words[0] != "Inst":
			s.removed = append(s.removed, name)
		case strings.HasPrefix(words[2], "["):
			s.upgraded = append(s.upgraded, name)
		case strings.HasPrefix(words[2], "("):
			s.installed = append(s.installed, name)
		default:
			return simulation{}, fmt.Errorf("apt-get would do %q", strings.TrimSpace(line))
		}
	}
	for _, list := range []*[]string{&s.installed, &s.upgraded, &s.removed} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return s, nil
}

// absent is the status of a package that dpkg does not have.
const absent = "absent"

// A dpkg is dpkg's word for each package that it knows, by name; packages of
// another architecture than the host's have it after a colon.
type dpkg map[string]string

// dpkgShow asks dpkg for all packages at once: asked for one that it does not
// know, it fails.
var dpkgShow = []string{"dpkg-query", "--show", "--showformat", "${binary:Package} ${Package} ${Architecture} ${db:Status-Status} ${db:Status-Eflag}\\n"}

func packages(ctx context.Context, r server.Reader) (dpkg, error) {
	out, err := r.Output(ctx, dpkgShow...)
	if err != nil {
		return nil, err
	}
	return parseDpkg(out)
}

// parseDpkg reads the lines that dpkgShow asks for. dpkg puts the architecture
// to the name of a package that several architectures may have side by side,
// the host's own included; apt puts it only to those that are not the host's.
func parseDpkg(out string) (dpkg, error) {
	all := dpkg{}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) != 5 {
			return nil, fmt.Errorf("dpkg-query printed %q", strings.TrimSpace(line))
		}
		status := words[3]
		if status == "not-installed" {
			continue
		}
		if words[4] != "ok" {
			status = words[4] // reinstreq
		}
		all[words[0]] = status
		if _, known := all[words[1]]; !known {
			all[words[1]] = status
		}
	}
	return all, nil
}

func (d dpkg) status(name string) string {
	if s, known := d[name]; known {
		return s
	}
	return absent
}

// unfinished lists the packages that dpkg has not brought to an end.
func (d dpkg) unfinished() []string {
	var left []string
	for name, status := range d {
		if status != installed && status != "config-files" {
			left = append(left, name+" "+status)
		}
	}
	slices.Sort(left)
	return left
}
