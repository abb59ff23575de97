package resource_test

import (
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

func unit(name, boot, now string) func(*hosttest.Host) {
	return func(h *hosttest.Host) { h.AddUnit(name, boot, now) }
}

func TestUnit(t *testing.T) {
	const name = "chrony.service"
	on, off := resource.Unit{Unit: name, Enabled: true, Active: true}, resource.Unit{Unit: name}
	masked := unit(name, "masked", "inactive")
	as := func(boot, now string) func(testing.TB) *hosttest.Host {
		return func(t testing.TB) *hosttest.Host {
			h := hosttest.Debian(t)
			h.AddUnit(name, boot, now)
			return h
		}
	}
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "on from off", Resource: on, Host: as("disabled", "inactive"), Drift: masked},
		hosttest.Case{Name: "on from stopped", Resource: on, Host: as("enabled", "inactive"), Drift: masked},
		hosttest.Case{Name: "on from failed", Resource: on, Host: as("disabled", "failed-but-not-quite"), Drift: masked},
		hosttest.Case{Name: "on from disabled", Resource: on, Host: as("disabled", "active"), Drift: masked},
		hosttest.Case{Name: "on from runtime", Resource: on, Host: as("enabled-runtime", "active"), Drift: masked},
		hosttest.Case{Name: "off from on", Resource: off, Host: as("enabled", "active"), Drift: unit(name, "static", "active")},
		hosttest.Case{Name: "off from stopped", Resource: off, Host: as("enabled", "inactive"), Drift: unit(name, "static", "active")},
		hosttest.Case{Name: "stopped but static", Resource: off, Host: as("static", "active"), Drift: unit(name, "enabled", "active")},
		hosttest.Case{Name: "only at boot", Resource: resource.Unit{Unit: name, Enabled: true}, Host: as("disabled", "active"), Drift: masked},
	)
}

func TestUnitRefuses(t *testing.T) {
	tests := []struct{ unit, want string }{
		{"nowhere.service", "there is no unit nowhere.service"},
		{"forbidden.service", "is masked and cannot be made enabled"},
		{"user.slice", "is static and cannot be made enabled"},
		{"--now", "is no name"},
	}
	for _, tt := range tests {
		h := hosttest.Debian(t)
		u := resource.Unit{Unit: tt.unit, Enabled: true, Active: true}
		change, err := server.Check(t.Context(), h, u)
		if err == nil {
			_, err = server.Apply(t.Context(), h, u, change)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q in it", tt.unit, err, tt.want)
		}
	}
	gone := resource.Unit{Unit: "nowhere.service"}
	if change, err := server.Check(t.Context(), hosttest.Debian(t), gone); err != nil || change.Needed() {
		t.Errorf("a unit that is not there and not wanted: %+v, %v", change, err)
	}
}

// A unit that cannot be started is enabled by then, and can be undone.
func TestUnitThatDoesNotStart(t *testing.T) {
	ctx, h := t.Context(), hosttest.Debian(t)
	const name = "systemd-timesyncd.service"
	h.BreakUnit(name)
	start := h.String()
	u := resource.Unit{Unit: name, Enabled: true, Active: true}
	change, err := server.Check(ctx, h, u)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := server.Apply(ctx, h, u, change); err == nil || !strings.Contains(err.Error(), "Job for "+name+" failed") {
			t.Errorf("Apply: %v", err)
		}
	}
	if again, err := server.Check(ctx, h, u); err != nil || !again.Needed() {
		t.Errorf("Check: %+v, %v; want a change", again, err)
	}
	if err := server.Undo(ctx, h, u, change); err != nil {
		t.Errorf("Undo: %v", err)
	}
	if got := h.String(); got != start {
		t.Errorf("the host after Undo is\n%s", server.Diff(server.Change{Before: server.State(start), After: server.State(got)}))
	}
}
