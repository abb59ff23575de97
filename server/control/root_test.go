package control

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
)

// Root is locked after the way around it, and never without one.
func TestWantRootLocked(t *testing.T) {
	tests := []struct {
		name string
		b    server.BreakGlass
		want []string
	}{
		{"no break-glass", server.BreakGlass{}, nil},
		{"an account", server.BreakGlass{Account: "rescue"}, []string{"account rescue", "password rescue", "password root", "password age root"}},
		{"a key", server.BreakGlass{Key: siteKey, From: []string{"192.0.2.0/24"}}, []string{"password root", "password age root"}},
	}
	for _, tt := range tests {
		h := hosttest.Debian(t)
		if got := resourceNames(t, wantRootLocked, h, server.Config{BreakGlass: tt.b}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: wants %v", tt.name, got)
		}
	}
}

// Without a secret the plan still asks for the lock, after what needs the
// secret.
func TestRootLockedWithoutSecret(t *testing.T) {
	h := hosttest.Debian(t)
	c := server.Config{BreakGlass: server.BreakGlass{Account: "rescue"}}
	plan, err := server.MakePlan(t.Context(), h, Root(), c, nil)
	if err != nil || plan.Err() != nil {
		t.Fatal(err, plan.Err())
	}
	var got []string
	for _, s := range plan.Steps {
		got = append(got, s.Change.Resource)
	}
	if want := []string{"account rescue", "password rescue", "password root"}; !slices.Equal(got, want) {
		t.Errorf("plan: %v", got)
	}
}

func TestBreakGlass(t *testing.T) {
	tests := []struct {
		name, hash, group, keys string
		admins                  []server.Admin
		holds                   bool
		says                    string
	}{
		{name: "good", hash: "$y$j9T$salt$hash", group: "sudo:x:27:debian", holds: true, says: "password: usable, keys: 0"},
		{name: "weak hash", hash: "$1$salt$hash", group: "sudo:x:27:debian", says: "password: weak"},
		{name: "no sudo", hash: "$y$j9T$salt$hash", group: "sudo:x:27:", says: "in group sudo: false"},
		{name: "keys", hash: "$y$j9T$salt$hash", group: "sudo:x:27:debian", keys: anotherKey, says: "keys: 1"},
		{name: "an admin's", hash: "$y$j9T$salt$hash", group: "sudo:x:27:debian", admins: []server.Admin{{Name: "debian"}}, says: "the account of an admin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			h.Put("/etc/shadow", "debian:"+tt.hash+":1::::::\n")
			h.Put("/etc/group", tt.group+"\n")
			if tt.keys != "" {
				h.Put("/home/debian/.ssh/authorized_keys", tt.keys)
			}
			a, err := breakGlassAlone.Ask(t.Context(), h, server.Config{BreakGlass: server.BreakGlass{Account: "debian"}, Admins: tt.admins})
			if err != nil || a.Holds != tt.holds || !strings.Contains(a.Evidence, tt.says) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

func TestWantTime(t *testing.T) {
	unit := func(name string) func(*hosttest.Host) {
		return func(h *hosttest.Host) { h.Put("/usr/lib/systemd/system/"+name, "[Unit]\n") }
	}
	tests := []struct {
		name   string
		change []func(*hosttest.Host)
		want   string // states, with their units
	}{
		{"none", nil, "package systemd-timesyncd"},
		{"one", []func(*hosttest.Host){unit(timesyncd)}, "unit systemd-timesyncd.service: enabled active"},
		{"two", []func(*hosttest.Host){unit(timesyncd), unit("chrony.service")}, "unit chrony.service: enabled active, unit systemd-timesyncd.service: disabled inactive"},
		{"an alias", []func(*hosttest.Host){unit("ntpsec.service"), func(h *hosttest.Host) {
			h.PutEntry("/etc/systemd/system/ntp.service", server.Entry{Mode: fs.ModeSymlink | 0o777, Content: "/usr/lib/systemd/system/ntpsec.service"})
		}}, "unit ntpsec.service: enabled active"},
		{"in a container", []func(*hosttest.Host){unit(timesyncd), func(h *hosttest.Host) { h.Put("/run/systemd/container", "lxc\n") }}, "unit systemd-timesyncd.service: enabled inactive"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			h.Delete("/usr/lib/systemd/system")
			h.Delete("/etc/systemd/system")
			for _, change := range tt.change {
				change(h)
			}
			wants, err := wantTime(t.Context(), h, server.Config{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range wants {
				name := w.Name()
				if strings.HasPrefix(name, "unit") {
					name += ": " + strings.Join(strings.Fields(string(w.Want())), " ")
				}
				got = append(got, name)
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("wants %s", s)
			}
		})
	}
}

// A clock that is wrong is a failure, unless the daemon has only just begun.
func TestClockInSync(t *testing.T) {
	tests := []struct {
		name, container, synced, show string
		holds, unknown                bool
	}{
		{name: "in sync", synced: "NTPSynchronized=yes", holds: true},
		{name: "not in sync", synced: "NTPSynchronized=no", show: "ActiveState=active\nActiveEnterTimestampMonotonic=1000000\n"},
		{name: "stopped", synced: "NTPSynchronized=no", show: "ActiveState=inactive\nActiveEnterTimestampMonotonic=0\n"},
		{name: "just started", synced: "NTPSynchronized=no", show: "ActiveState=active\nActiveEnterTimestampMonotonic=990000000\n", unknown: true},
		{name: "in a container", container: "systemd-nspawn\n", holds: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			h.Put("/usr/lib/systemd/system/"+timesyncd, "[Unit]\n")
			h.Put("/proc/uptime", "1000.50 1.00\n")
			if tt.container != "" {
				h.Put("/run/systemd/container", tt.container)
			}
			h.Handle("timedatectl", func(context.Context, *hosttest.Host, string, []string) (string, error) { return tt.synced + "\n", nil })
			h.Handle("systemctl", func(context.Context, *hosttest.Host, string, []string) (string, error) { return tt.show, nil })
			a, err := clockInSync.Ask(t.Context(), h, server.Config{})
			if (err != nil) != tt.unknown || a.Holds != tt.holds {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}
