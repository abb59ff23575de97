package resource

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// A Unit is a unit of systemd that is or is not started at boot and now. Its
// states are two lines: systemd's word for its file, such as "enabled",
// "disabled", "static" or "masked", and "active" or "inactive".
type Unit struct {
	// Unit is the unit's full name, such as "ssh.service".
	Unit string `json:"unit"`
	// Enabled wants it started at boot.
	Enabled bool `json:"enabled"`
	// Active wants it running now.
	Active bool `json:"active"`
}

// Name returns "unit NAME".
func (u Unit) Name() string { return "unit " + u.Unit }

// The words of a unit's states that Set can bring about.
const (
	enabled  = "enabled"
	disabled = "disabled"
	active   = "active"
	inactive = "inactive"
)

// Want returns "enabled" or "disabled" and "active" or "inactive", in two lines.
func (u Unit) Want() server.State {
	boot, now := disabled, inactive
	if u.Enabled {
		boot = enabled
	}
	if u.Active {
		now = active
	}
	return unitState(boot, now)
}

// Start marks a Unit as a [server.Starter].
func (u Unit) Start() {}

func unitState(boot, now string) server.State { return server.State(boot + "\n" + now + "\n") }

// splitUnit cuts a state into its two words.
func splitUnit(s server.State) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(s), "\n"), "\n")
}

// Accepts reports whether s amounts to what is wanted. What cannot be started
// at boot is as good as disabled, and a unit that is not there as disabled and
// inactive.
func (u Unit) Accepts(s server.State) bool {
	words := splitUnit(s)
	if len(words) != 2 {
		return s == "" && !u.Enabled && !u.Active
	}
	boot := false
	switch words[0] {
	case enabled, "alias", "generated":
		boot = true
	case "enabled-runtime":
		boot = !u.Enabled // neither for ever nor not at all
	}
	return boot == u.Enabled && words[1] == u.wantedNow()
}

func (u Unit) wantedNow() string { return splitUnit(u.Want())[1] }

// Get returns what systemd says, empty if there is no such unit. A unit that
// has failed is inactive.
func (u Unit) Get(ctx context.Context, r server.Reader) (server.State, error) {
	now, err := u.show(ctx, r)
	if err != nil || now == "" {
		return "", err
	}
	record, found, err := begun(ctx, r, u)
	if err != nil {
		return "", err
	}
	if found {
		now = record.settle(now, splitUnit)
	}
	return now, nil
}

// show is Get without regard to a half-done change.
func (u Unit) show(ctx context.Context, r server.Reader) (server.State, error) {
	p, err := showUnit(ctx, r, u.Unit, "LoadState", "UnitFileState", "ActiveState")
	if err != nil || p["LoadState"] == notFound {
		return "", err
	}
	boot, now := p["UnitFileState"], p["ActiveState"]
	if boot == "" {
		boot = "transient"
	}
	switch now {
	case "reloading", "refreshing":
		now = active
	case "failed":
		now = inactive
	}
	return unitState(boot, now), nil
}

// Set enables or disables, starts or stops the unit. The two steps are recorded
// first, so that a unit that cannot be started can still be disabled again.
func (u Unit) Set(ctx context.Context, h server.Host, s server.State) error {
	now, err := u.show(ctx, h)
	if err != nil {
		return err
	}
	if now == "" {
		if s == "" || u.Accepts("") && u.Accepts(s) {
			return forget(ctx, h, halfName(u))
		}
		return fmt.Errorf("there is no unit %s", u.Unit)
	}
	if now != s && !(u.Accepts(now) && u.Accepts(s)) {
		if err := u.move(ctx, h, now, s); err != nil {
			return err
		}
	}
	return forget(ctx, h, halfName(u))
}

func (u Unit) move(ctx context.Context, h server.Host, now, to server.State) error {
	_, found, err := begun(ctx, h, u)
	if err != nil {
		return err
	}
	if !found {
		record := half{Before: now, After: to}
		if !u.Accepts(to) {
			record = half{Before: to, After: now}
		}
		if err := record.begin(ctx, h, u); err != nil {
			return err
		}
	}
	have, want := splitUnit(now), splitUnit(to)
	if len(want) != 2 {
		return fmt.Errorf("unit %s cannot be made to not exist", u.Unit)
	}
	if have[0] != want[0] && !u.sameBoot(have[0], want[0]) {
		if err := u.setBoot(ctx, h, have[0], want[0]); err != nil {
			return err
		}
	}
	if have[1] != want[1] {
		verb := "start"
		if want[1] != active {
			verb = "stop"
		}
		if err := run(ctx, h, "", "systemctl", verb, u.Unit); err != nil {
			return err
		}
	}
	after, err := u.show(ctx, h)
	if err == nil && after != to && !(u.Accepts(after) && u.Accepts(to)) {
		err = fmt.Errorf("unit %s was set, but the host does not show it", u.Unit)
	}
	return err
}

// sameBoot reports whether have is as good as what is wanted.
func (u Unit) sameBoot(have, want string) bool {
	return u.Accepts(unitState(have, u.wantedNow())) && u.Accepts(unitState(want, u.wantedNow()))
}

func (u Unit) setBoot(ctx context.Context, h server.Host, have, want string) error {
	switch {
	case have != enabled && have != disabled && have != "enabled-runtime" && have != "indirect":
		return fmt.Errorf("unit %s is %s and cannot be made %s", u.Unit, have, want)
	case want == enabled:
		return run(ctx, h, "", "systemctl", "enable", u.Unit)
	case want == "enabled-runtime":
		return run(ctx, h, "", "systemctl", "enable", "--runtime", u.Unit)
	case want == disabled || want == "indirect":
		return run(ctx, h, "", "systemctl", "disable", u.Unit)
	}
	return fmt.Errorf("unit %s is %s and cannot be made %s", u.Unit, have, want)
}
