package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
)

// Time is the precondition of section 3.10: codes that change every 30 seconds
// need clocks that agree.
func Time() []server.Control {
	return []server.Control{{
		ID:       "time-in-sync",
		Guide:    "3.10",
		Title:    "One time daemon keeps the clock right",
		Why:      "A second factor is refused, and logs mislead, when the clock is wrong.",
		Severity: server.Medium,
		References: slices.Concat(
			cis("2.3.1.1", "2.3.1.1"), anssi("R71"), nist("AU-8(1)(a)"),
		),
		Wants:  wantTime,
		Proofs: func(server.Config) []server.Proof { return []server.Proof{oneTimeDaemon, clockInSync} },
	}}
}

// timeDaemons are the units that can keep the clock, those first that somebody
// must have chosen on purpose.
var timeDaemons = []string{"chrony.service", "ntpsec.service", "ntp.service", "openntpd.service", timesyncd}

const timesyncd = "systemd-timesyncd.service"

// timeDaemonsOf returns the units that are installed, in order of preference.
// ntp.service may be another name of ntpsec.service.
func timeDaemonsOf(ctx context.Context, r server.Reader) ([]string, error) {
	var found []string
	for _, unit := range timeDaemons {
		for _, dir := range []string{"/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/"} {
			e, err := r.Read(ctx, dir+unit)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if e.Mode&fs.ModeSymlink == 0 {
				found = append(found, unit)
			}
			break // a link is an alias, or a mask
		}
	}
	return found, nil
}

func wantTime(ctx context.Context, r server.Reader, _ server.Config) ([]server.Resource, error) {
	found, err := timeDaemonsOf(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return []server.Resource{resource.Package{Package: "systemd-timesyncd"}}, nil
	}
	container, err := containerOf(ctx, r)
	if err != nil {
		return nil, err
	}
	// A container has no clock of its own to set, so its daemon is not started.
	all := []server.Resource{resource.Unit{Unit: found[0], Enabled: true, Active: container == ""}}
	for _, surplus := range found[1:] {
		all = append(all, resource.Unit{Unit: surplus})
	}
	return all, nil
}

// containerOf returns what kind of container the machine is, empty if it is
// none. systemd writes the file when it boots.
func containerOf(ctx context.Context, r server.Reader) (string, error) {
	e, err := r.Read(ctx, "/run/systemd/container")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(e.Content), err
}

// oneTimeDaemon is what systemd says of the daemons.
var oneTimeDaemon = server.Proof{
	What: "exactly one time daemon is enabled",
	Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
		a := server.Answer{Command: "systemctl is-enabled " + strings.Join(timeDaemons, " ")}
		found, err := timeDaemonsOf(ctx, r)
		if err != nil {
			return a, err
		}
		if len(found) == 0 {
			a.Evidence = "no time daemon is installed"
			return a, nil
		}
		out, err := r.Output(ctx, append([]string{"systemctl", "show", "--property=Id,UnitFileState,ActiveState"}, found...)...)
		if err != nil {
			return a, err
		}
		enabled := 0
		for _, unit := range strings.Split(out, "\n\n") {
			if strings.Contains(unit, "UnitFileState=enabled") {
				enabled++
			}
		}
		a.Holds = enabled == 1
		a.Evidence = strings.Join(strings.Fields(out), " ")
		return a, nil
	},
}

// clockInSync asks the kernel, which every time daemon tells whether it has got
// the clock right.
var clockInSync = server.Proof{
	What: "the clock is in sync",
	Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
		container, err := containerOf(ctx, r)
		if err != nil {
			return server.Answer{}, err
		}
		if container != "" {
			return server.Answer{
				Holds:    true,
				Evidence: fmt.Sprintf("not applicable: this is a container (%s), whose clock is its machine's", container),
				Command:  "cat /run/systemd/container",
			}, nil
		}
		a := server.Answer{Command: "timedatectl show --property=NTPSynchronized"}
		out, err := r.Output(ctx, "timedatectl", "show", "--property=NTPSynchronized")
		if err != nil {
			return a, err
		}
		a.Evidence = strings.TrimSpace(out)
		a.Holds = a.Evidence == "NTPSynchronized=yes"
		if a.Holds {
			return a, nil
		}
		return a, justStarted(ctx, r)
	},
}

// settling is how long a time daemon may take to find servers and compare the
// clock with theirs.
const settling = 2 * time.Minute

// justStarted is an error if the time daemon cannot have got the clock right
// yet.
func justStarted(ctx context.Context, r server.Reader) error {
	found, err := timeDaemonsOf(ctx, r)
	if err != nil || len(found) == 0 {
		return err
	}
	out, err := r.Output(ctx, "systemctl", "show", "--property=ActiveState,ActiveEnterTimestampMonotonic", found[0])
	if err != nil {
		return err
	}
	e, err := r.Read(ctx, "/proc/uptime")
	if err != nil {
		return err
	}
	var started int64 // microseconds since boot
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "ActiveEnterTimestampMonotonic="); ok {
			started, _ = strconv.ParseInt(v, 10, 64)
		}
	}
	up, err := strconv.ParseFloat(strings.SplitN(e.Content, " ", 2)[0], 64)
	if err != nil {
		return fmt.Errorf("/proc/uptime: %w", err)
	}
	age := time.Duration(up*float64(time.Second)) - time.Duration(started)*time.Microsecond
	if strings.Contains(out, "ActiveState=active") && age < settling {
		return fmt.Errorf("%s was started %v ago and has not set the clock yet", found[0], age.Round(time.Second))
	}
	return nil
}
