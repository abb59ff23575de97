package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
)

// AuditsDir is where a server keeps what its daily audits have found.
const AuditsDir = server.StateDir + "/audits"

// The files that make the daily audit. The service runs a link to the daemon
// that came last, so that it goes on working when an older one is gone.
const (
	dailyConfig  = "/etc/holdfast/audit.json"
	dailyName    = "holdfast-audit"
	dailyService = "/etc/systemd/system/" + dailyName + ".service"
	dailyTimer   = "/etc/systemd/system/" + dailyName + ".timer"
	dailyWants   = "/etc/systemd/system/timers.target.wants"
	dailyLink    = dailyWants + "/" + dailyName + ".timer"
)

// dailyLimit is after how long without a daily audit something is wrong: a day,
// the delay after a boot, and what the timer adds by chance.
const dailyLimit = 26 * time.Hour

const dailyServiceText = `[Unit]
Description=Holdfast: the daily audit

[Service]
Type=oneshot
Nice=10
IOSchedulingClass=idle
TimeoutStartSec=30min
ExecStart=` + server.Program + ` audit
`

const dailyTimerText = `[Unit]
Description=Holdfast: the daily audit

[Timer]
OnActiveSec=15min
OnUnitActiveSec=1d
RandomizedDelaySec=15min
AccuracySec=1min
`

// dailyFormat is the format of the file that tells the daily audit what it is
// about.
const dailyFormat = 1

// A daily is that file.
type daily struct {
	Format int           `json:"format"`
	Config server.Config `json:"config"`
}

// Daily is beyond the guide: what was secured may be changed by anybody who can.
func Daily() []server.Control {
	return []server.Control{{
		ID:       "daily-audit",
		Title:    "The server audits itself every day",
		Why:      "What was secure when it was set up may have been changed the week after, and nobody looks every day.",
		Severity: server.Medium,
		Wants:    wantDaily,
		Proofs:   func(server.Config) []server.Proof { return []server.Proof{dailyIsDue, dailyProgram, dailyIsDone} },
	}}
}

func wantDaily(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
	c.SiteDigest = "" // comments in the site file are no change
	text, err := json.MarshalIndent(daily{Format: dailyFormat, Config: c}, "", "  ")
	if err != nil {
		return nil, err
	}
	all := []server.Resource{
		resource.Dir{Path: path.Dir(dailyConfig), Mode: 0o755},
		resource.File{Path: dailyConfig, Mode: 0o600, Content: string(text) + "\n"},
		resource.File{Path: dailyService, Mode: 0o644, Content: dailyServiceText},
		resource.File{Path: dailyTimer, Mode: 0o644, Content: dailyTimerText},
	}
	// The directory is systemd's own; a server may have none yet.
	all = append(all,
		resource.Dir{Path: dailyWants, Mode: 0o755},
		resource.Link{Path: dailyLink, Target: "../" + dailyName + ".timer"},
		resource.Loaded{Unit: dailyName + ".service", Files: []string{dailyService, dailyService + ".d/*.conf"}},
		resource.Loaded{Unit: dailyName + ".timer", Files: []string{dailyTimer, dailyTimer + ".d/*.conf"}},
		resource.Started{Unit: dailyName + ".timer", Link: dailyLink},
	)
	return all, nil
}

// DailyConfig returns what the daily audit of the server that r shows is about,
// as the last apply left it. A file of a newer format, or with fields that this
// version does not know, is an error.
func DailyConfig(ctx context.Context, r server.Reader) (server.Config, error) {
	e, err := r.Read(ctx, dailyConfig)
	if err != nil {
		return server.Config{}, fmt.Errorf("reading what the daily audit is about: %w", err)
	}
	var probe struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal([]byte(e.Content), &probe); err != nil {
		return server.Config{}, fmt.Errorf("%s: %w", dailyConfig, err)
	}
	if probe.Format != dailyFormat {
		return server.Config{}, fmt.Errorf("%s has format %d, and this version knows %d only", dailyConfig, probe.Format, dailyFormat)
	}
	var d daily
	in := json.NewDecoder(bytes.NewReader([]byte(e.Content)))
	in.DisallowUnknownFields()
	if err := in.Decode(&d); err != nil {
		return server.Config{}, fmt.Errorf("%s: %w", dailyConfig, err)
	}
	return d.Config, nil
}

// dailyIsDue asks systemd what it will do and when.
var dailyIsDue = server.Proof{
	What: "systemd will start the daily audit",
	Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
		a := server.Answer{Command: "systemctl list-timers " + dailyName + ".timer; systemctl cat " + dailyName + ".service"}
		timer, err := showDaily(ctx, r, ".timer", "LoadState", "UnitFileState", "ActiveState", "NeedDaemonReload", "NextElapseUSecMonotonic")
		if err != nil {
			return a, err
		}
		service, err := showDaily(ctx, r, ".service", "LoadState", "ExecStart")
		if err != nil {
			return a, err
		}
		a.Holds = timer["LoadState"] == "loaded" && timer["UnitFileState"] == "enabled" && timer["ActiveState"] == "active" &&
			timer["NeedDaemonReload"] == "no" && service["LoadState"] == "loaded" &&
			strings.Contains(service["ExecStart"], "; argv[]="+server.Program+" audit ;") &&
			// The service runs just now, and then counts anew.
			(due(timer["NextElapseUSecMonotonic"]) || running(ctx, r))
		a.Evidence = fmt.Sprintf("%s.timer: %s, %s, %s, next after %s of uptime\n%s.service: %s, %s", dailyName,
			timer["LoadState"], timer["UnitFileState"], timer["ActiveState"], timer["NextElapseUSecMonotonic"],
			dailyName, service["LoadState"], service["ExecStart"])
		return a, nil
	},
}

func due(next string) bool { return next != "" && next != "infinity" }

func running(ctx context.Context, r server.Reader) bool {
	p, err := showDaily(ctx, r, ".service", "ActiveState")
	return err == nil && p["ActiveState"] == "activating"
}

// showDaily asks systemd for properties of a unit of the daily audit.
func showDaily(ctx context.Context, r server.Reader, kind string, properties ...string) (map[string]string, error) {
	out, err := r.Output(ctx, "systemctl", "show", "--property="+strings.Join(properties, ","), dailyName+kind)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[name] = value
	}
	return all, nil
}

// dailyProgram runs what the service runs, as far as that changes nothing.
var dailyProgram = server.Proof{
	What: "the program of the daily audit is there and runs",
	Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
		a := server.Answer{Command: server.Program + " version"}
		if _, err := r.Read(ctx, server.Program); errors.Is(err, fs.ErrNotExist) {
			a.Evidence = server.Program + " is not there"
			return a, nil
		} else if err != nil {
			return a, err
		}
		out, err := r.Output(ctx, server.Program, "version")
		a.Evidence = strings.TrimSpace(out)
		if failed := (*server.CommandError)(nil); errors.As(err, &failed) {
			a.Evidence = err.Error()
			return a, nil
		}
		a.Holds = err == nil
		return a, err
	},
}

// dailyIsDone looks for what the audits have left.
var dailyIsDone = server.Proof{
	What: "the daily audit was made within the last 26 hours, or is not due yet",
	Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
		a := server.Answer{Command: "systemctl status " + dailyName + ".service; ls " + AuditsDir}
		kept, err := r.Glob(ctx, AuditsDir+"/*.json.gz")
		if err != nil {
			return a, err
		}
		service, err := showDaily(ctx, r, ".service", "Result", "ActiveState")
		if err != nil {
			return a, err
		}
		since, err := dailyActive(ctx, r)
		if err != nil {
			return a, err
		}
		age := time.Duration(-1)
		a.Evidence = "no result is kept"
		if len(kept) > 0 {
			name := path.Base(kept[len(kept)-1])
			at, err := time.Parse("20060102T150405Z.json.gz", name)
			if err != nil {
				return a, fmt.Errorf("%s/%s: its name is no time", AuditsDir, name)
			}
			age = time.Since(at)
			a.Evidence = "the last result is of " + at.Format("2006-01-02 15:04 UTC")
		}
		a.Evidence += fmt.Sprintf("; the last run: %s; the timer runs for %v", service["Result"], since.Round(time.Minute))
		fresh := age >= 0 && age < dailyLimit
		a.Holds = (fresh || since < dailyLimit) && (service["Result"] == "success" || service["ActiveState"] == "activating")
		return a, nil
	},
}

// dailyActive returns for how long the timer has been running.
func dailyActive(ctx context.Context, r server.Reader) (time.Duration, error) {
	p, err := showDaily(ctx, r, ".timer", "ActiveEnterTimestampMonotonic")
	if err != nil {
		return 0, err
	}
	started, err := strconv.ParseInt(p["ActiveEnterTimestampMonotonic"], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("systemd says that %s.timer was started at %q", dailyName, p["ActiveEnterTimestampMonotonic"])
	}
	e, err := r.Read(ctx, "/proc/uptime")
	if err != nil {
		return 0, err
	}
	up, err := strconv.ParseFloat(strings.SplitN(e.Content, " ", 2)[0], 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/uptime: %w", err)
	}
	return time.Duration(up*float64(time.Second)) - time.Duration(started)*time.Microsecond, nil
}
