package resource

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A process is what systemd knows of a unit's main process.
type process struct {
	running    bool
	invocation string
	reloads    string // the last runs of the reload commands; systemd forgets them when it reloads itself
	changed    string // when the unit last changed its state, reloads included, by a clock that is never set
	started    time.Time
	sinceBoot  time.Duration // when it was started, by a clock that is never set
}

func showProcess(ctx context.Context, r server.Reader, unit string) (process, error) {
	p, err := showUnit(ctx, r, unit, "LoadState", "ActiveState", "InvocationID",
		"ExecMainStartTimestamp", "ExecMainStartTimestampMonotonic", "StateChangeTimestampMonotonic", "ExecReload")
	if err != nil {
		return process{}, err
	}
	switch p["ActiveState"] {
	case "active", "reloading", "refreshing":
	default:
		return process{}, nil
	}
	started, err := parseTimestamp(p["ExecMainStartTimestamp"])
	if err != nil {
		return process{}, fmt.Errorf("the start of %s: %w", unit, err)
	}
	micros, err := strconv.ParseInt(p["ExecMainStartTimestampMonotonic"], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("the start of %s: %w", unit, err)
	}
	return process{
		running: true, invocation: p["InvocationID"], reloads: p["ExecReload"], changed: p["StateChangeTimestampMonotonic"],
		started: started, sinceBoot: time.Duration(micros) * time.Microsecond,
	}, nil
}

// identity tells one start or reload from every other, by a clock that is never
// set.
func (p process) identity() string { return p.invocation + "\n" + p.changed + "\n" }

// read returns a time before which the daemon read its files for the last time.
func (p process) read(ctx context.Context, r server.Reader) (time.Time, error) {
	read := p.started
	// If the clock has been set since the start, what systemd noted then does
	// not compare with the times of files that were written before or after.
	boot, err := bootTime(ctx, r)
	if err != nil {
		return time.Time{}, err
	}
	if byBoot := boot.Add(p.sinceBoot); byBoot.Add(clockSlack).Before(read) {
		read = byBoot
	}
	reloaded, err := lastReload(p.reloads)
	if err != nil {
		return time.Time{}, err
	}
	// A reload later than the start, by a clock that was right both times.
	if reloaded.After(p.started) && read.Equal(p.started) {
		read = reloaded
	}
	return read, nil
}

// clockSlack is by how much the kernel's time of boot, in full seconds, may
// wander without the clock being set.
const clockSlack = 2 * time.Second

// bootTime returns when the machine was started, by today's clock.
func bootTime(ctx context.Context, r server.Reader) (time.Time, error) {
	e, err := r.Read(ctx, "/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(e.Content) {
		if value, ok := strings.CutPrefix(line, "btime "); ok {
			seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				return time.Time{}, fmt.Errorf("/proc/stat: %w", err)
			}
			return time.Unix(seconds, 0), nil
		}
	}
	return time.Time{}, fmt.Errorf("/proc/stat does not tell when the machine was started")
}

// parseTimestamp reads a time as systemctl show prints it in UTC, with or
// without microseconds.
func parseTimestamp(s string) (time.Time, error) {
	return time.Parse("Mon 2006-01-02 15:04:05.999999 MST", s)
}

var (
	startTime  = regexp.MustCompile(`; start_time=\[([^]]*)\] ;`)
	exitStatus = regexp.MustCompile(`; code=exited ; status=0(/0)? *}`)
)

// lastReload returns when the last reload that went well was begun, zero if
// there was none since the start. The last reload command is the one that
// counts: sshd tests its configuration in an earlier one.
func lastReload(execReload string) (time.Time, error) {
	commands := strings.Split(execReload, "\n")
	last := commands[len(commands)-1]
	found := startTime.FindStringSubmatch(last)
	if found == nil || found[1] == "n/a" || !exitStatus.MatchString(last) {
		return time.Time{}, nil
	}
	return parseTimestamp(found[1])
}
