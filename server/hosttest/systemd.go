package hosttest

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// A unit is what the imitated service manager knows of one.
type unit struct {
	Boot, Now  string // UnitFileState, ActiveState
	Invocation string
	Started    time.Time
	Reloaded   time.Time
	Runs       int               // how often something was started or reloaded
	Config     []string          // patterns of what it reads
	Loaded     map[string]string // what it has read, by path
	Known      map[string]string // what the manager has read, by path
	CannotRun  bool
}

// AddUnit adds a unit, such as "ssh.service", "enabled", "active", that reads
// the files that the patterns match when it starts and when it reloads.
func (h *Host) AddUnit(name, boot, now string, config ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := unit{Boot: boot, Now: "inactive", Config: config}
	u.Known = h.config(u)
	if now == "active" {
		h.start(name, &u)
	}
	h.units[name] = u
}

// BreakUnit makes a unit fail whenever it is started.
func (h *Host) BreakUnit(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.units[name]
	u.CannotRun = true
	h.units[name] = u
}

// Loaded reports whether a unit runs with what is in its files.
func (h *Host) Loaded(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.units[name]
	return u.Now == "active" && maps.Equal(u.Loaded, h.config(u))
}

func (h *Host) config(u unit) map[string]string {
	read := map[string]string{}
	for name, e := range h.entries {
		for _, pattern := range u.Config {
			if ok, _ := path.Match(pattern, name); ok && !e.Mode.IsDir() {
				read[name] = e.Content
			}
		}
	}
	return read
}

func (h *Host) start(name string, u *unit) {
	u.Now, u.Started, u.Reloaded = "active", h.now(), time.Time{}
	u.Runs++
	u.Invocation = fmt.Sprintf("%s-%d", name, u.Runs)
	u.Loaded = h.config(*u)
}

// systemctl imitates systemctl of systemd 252: show, enable, disable, start,
// stop, reload, try-restart, daemon-reload.
func systemctl(_ context.Context, h *Host, _ string, argv []string) (string, error) {
	name := argv[len(argv)-1]
	h.mu.Lock()
	defer h.mu.Unlock()
	u, found := h.units[name]
	if argv[1] == "show" {
		return h.show(u, found, argv), nil
	}
	if h.world {
		return "", fmt.Errorf("must not be run in a World: %s", strings.Join(argv, " "))
	}
	if name == "daemon-reload" {
		for name, u := range h.units {
			u.Known = h.config(u)
			h.units[name] = u
		}
		return "", nil
	}
	if !found {
		return "", Exit{Status: 5, Output: "Unit " + name + " not found.\n"}
	}
	switch verb := argv[1]; verb {
	case "enable":
		u.Boot = "enabled"
		if slices.Contains(argv, "--runtime") {
			u.Boot = "enabled-runtime"
		}
	case "disable":
		u.Boot = "disabled"
	case "start", "try-restart":
		if u.CannotRun {
			return "", Exit{Status: 1, Output: "Job for " + name + " failed.\n"}
		}
		if verb == "start" && u.Now != "active" || verb == "try-restart" && u.Now == "active" {
			h.start(name, &u)
		}
	case "stop":
		u.Now = "inactive"
	case "reload":
		if u.Now != "active" {
			return "", Exit{Status: 1, Output: name + " is not active, cannot reload.\n"}
		}
		u.Reloaded = h.now()
		u.Runs++
		u.Loaded = h.config(u)
	default:
		h.t.Errorf("the imitated systemctl does not know %q", argv)
	}
	h.units[name] = u
	return "", nil
}

// show prints the properties that were asked for.
func (h *Host) show(u unit, found bool, argv []string) string {
	const layout = "Mon 2006-01-02 15:04:05.000000 MST"
	load, started, mono := "loaded", "", time.Duration(0)
	if !found {
		load, u.Now = "not-found", "inactive"
	}
	if !u.Started.IsZero() {
		started, mono = u.Started.UTC().Format(layout), u.Started.Sub(h.booted)
	}
	reload := "start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0"
	if !u.Reloaded.IsZero() {
		at := u.Reloaded.UTC().Format("Mon 2006-01-02 15:04:05 MST")
		reload = fmt.Sprintf("start_time=[%s] ; stop_time=[%s] ; pid=%d ; code=exited ; status=0", at, at, 1000+u.Runs)
	}
	older := "no"
	if !maps.Equal(u.Known, h.config(u)) {
		older = "yes"
	}
	all := map[string]string{
		"NeedDaemonReload": older, "LoadState": load, "UnitFileState": u.Boot, "ActiveState": u.Now, "InvocationID": u.Invocation,
		"ExecMainStartTimestamp":          started,
		"ExecMainStartTimestampMonotonic": fmt.Sprint(mono.Microseconds()),
		"StateChangeTimestampMonotonic":   fmt.Sprint(u.Runs),
		"ExecReload":                      "{ path=/bin/kill ; argv[]=/bin/kill -HUP $MAINPID ; ignore_errors=no ; " + reload + " }",
	}
	var out strings.Builder
	for _, arg := range argv {
		if list, ok := strings.CutPrefix(arg, "--property="); ok {
			for p := range strings.SplitSeq(list, ",") {
				fmt.Fprintf(&out, "%s=%s\n", p, all[p])
			}
		}
	}
	return out.String()
}
