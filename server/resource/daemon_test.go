package resource_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

const dropIn = "/etc/ssh/sshd_config.d/00-holdfast.conf"

func ssh() resource.Daemon {
	return resource.Daemon{
		Unit: "ssh.service", Reload: true,
		Config: []string{"/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf"},
	}
}

func TestDaemon(t *testing.T) {
	loaded := func(t testing.TB, h *hosttest.Host) {
		if !h.Loaded("ssh.service") {
			t.Error("sshd does not run what is in its files")
		}
	}
	restarted := ssh()
	restarted.Reload = false
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "file added", Resource: ssh(), Host: on(put(dropIn, "Port 22\n")), Shows: loaded},
		hosttest.Case{Name: "file changed", Resource: ssh(), Host: on(put("/etc/ssh/sshd_config", "Port 22\n")), Shows: loaded},
		hosttest.Case{Name: "file removed", Resource: ssh(), Shows: loaded, Host: on(
			put(dropIn, "x"), func(h *hosttest.Host) { h.AddUnit("ssh.service", "enabled", "active", ssh().Config...) },
			func(h *hosttest.Host) { h.Delete(dropIn) },
		)},
		hosttest.Case{Name: "restart", Resource: restarted, Host: on(put(dropIn, "Port 22\n")), Shows: loaded},
	)
}

// state follows the files and returns what the daemon runs.
func state(t *testing.T, h *hosttest.Host, d resource.Daemon) server.State {
	t.Helper()
	f, err := d.Follow(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	s, err := f.Get(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if s == f.Want() {
		return "runs it"
	}
	return s
}

func TestDaemonStates(t *testing.T) {
	const older = "runs an older configuration"
	reload := func(h *hosttest.Host) {
		if err := h.Run(t.Context(), "", "systemctl", "reload", "ssh.service"); err != nil {
			t.Fatal(err)
		}
	}
	apply := func(h *hosttest.Host) {
		f, err := ssh().Follow(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		change, err := server.Check(t.Context(), h, f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Apply(t.Context(), h, f, change); err != nil {
			t.Fatal(err)
		}
	}
	// boot moves the time of boot, as a clock that was set moves it.
	boot := func(by time.Duration) func(*hosttest.Host) {
		return func(h *hosttest.Host) {
			var at int64
			for line := range strings.Lines(h.Content("/proc/stat")) {
				fmt.Sscanf(line, "btime %d", &at)
			}
			h.Put("/proc/stat", fmt.Sprintf("btime %d\n", at+int64(by/time.Second)))
		}
	}
	write := put(dropIn, "Port 22\n")
	tests := []struct {
		name  string
		steps []func(*hosttest.Host)
		want  server.State
	}{
		{"new", nil, "runs it"},
		{"changed", []func(*hosttest.Host){write}, older},
		{"reloaded by somebody else", []func(*hosttest.Host){write, reload}, "runs it"},
		{"reloaded by us", []func(*hosttest.Host){write, apply}, "runs it"},
		{"changed after us", []func(*hosttest.Host){write, apply, put(dropIn, "Port 23\n")}, older},
		{"changed after us and back", []func(*hosttest.Host){write, apply, put(dropIn, "Port 23\n"), write}, "runs it"},
		{"reloaded in between", []func(*hosttest.Host){write, apply, put(dropIn, "Port 23\n"), reload, write}, older},
		{"restarted in between", []func(*hosttest.Host){write, apply, put(dropIn, "Port 23\n"),
			func(h *hosttest.Host) { h.AddUnit("ssh.service", "enabled", "active", ssh().Config...) }}, "runs it"},
		{"stopped", []func(*hosttest.Host){write, func(h *hosttest.Host) { h.AddUnit("ssh.service", "enabled", "inactive") }}, "not running"},
		{"not there", []func(*hosttest.Host){write, func(h *hosttest.Host) { h.AddUnit("ssh.service", "", "inactive") }}, "not running"},
		{"lost", []func(*hosttest.Host){func(h *hosttest.Host) { h.AddUnit("ssh.service", "enabled", "inactive") },
			put("/sys/fs/cgroup/system.slice/ssh.service/cgroup.procs", "62\n")}, "not running, but processes are left of an earlier run"},
		// The clock stood in the future when the daemon started.
		{"clock set back", []func(*hosttest.Host){boot(-48 * time.Hour)}, older},
		{"clock set back, then reloaded by us", []func(*hosttest.Host){boot(-48 * time.Hour), apply}, "runs it"},
		{"clock set forward", []func(*hosttest.Host){boot(48 * time.Hour)}, "runs it"},
		{"clock slewed", []func(*hosttest.Host){boot(-time.Second)}, "runs it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			for _, step := range tt.steps {
				step(h)
			}
			if got := state(t, h, ssh()); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// The files of a plan are those of the World in which it was tried, the daemon
// is the live one. Apply and undo move it along with its files.
func TestDaemonFollowsThePlan(t *testing.T) {
	ctx, h := t.Context(), hosttest.Debian(t)
	controls := []server.Control{{ID: "ssh", Wants: func(context.Context, server.Reader, server.Config) ([]server.Resource, error) {
		return []server.Resource{ssh(), resource.File{Path: dropIn, Mode: 0o600, Content: "Port 22\n"}}, nil
	}}}
	plan, err := server.MakePlan(ctx, h, controls, server.Config{}, nil)
	if err != nil || plan.Err() != nil || len(plan.Steps) != 2 {
		t.Fatalf("the plan is %+v, %v, %v", plan, err, plan.Err())
	}
	for i, s := range plan.Steps {
		if plan.Steps[i].Change, err = server.Apply(ctx, h, s.Resource, s.Change); err != nil {
			t.Fatal(err)
		}
	}
	if !h.Loaded("ssh.service") || h.Content(dropIn) == "" {
		t.Error("sshd does not run the new configuration")
	}
	if err := server.Undo(ctx, h, plan.Steps[0].Resource, plan.Steps[0].Change); err != nil {
		t.Fatal(err)
	}
	if h.Loaded("ssh.service") {
		t.Error("sshd runs the old configuration already")
	}
	if err := server.Undo(ctx, h, plan.Steps[1].Resource, plan.Steps[1].Change); err != nil {
		t.Fatal(err)
	}
	if !h.Loaded("ssh.service") || h.Exists(dropIn) {
		t.Error("sshd does not run the old configuration")
	}
}
