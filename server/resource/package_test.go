package resource_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

func status(name, status string) func(*hosttest.Host) {
	return func(h *hosttest.Host) { h.SetPackage(name, status) }
}

func TestPackage(t *testing.T) {
	pwquality := resource.Package{Package: "libpam-pwquality"}
	hello := resource.Package{Package: "hello"}
	brought := func(names ...string) func(testing.TB, *hosttest.Host) {
		return func(t testing.TB, h *hosttest.Host) {
			state, err := pwquality.Get(t.Context(), h)
			want := append([]string{"installed"}, names...)
			if got := strings.Split(string(state), "\nbrought "); err != nil || !slices.Equal(got, want) {
				t.Errorf("the state is %q, %v; want %q", got, err, want)
			}
		}
	}
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "missing", Resource: hello, Host: on(), Drift: status("hello", "unpacked")},
		hosttest.Case{Name: "without package lists", Resource: hello, Host: on((*hosttest.Host).ForgetLists)},
		hosttest.Case{Name: "removed once", Resource: hello, Drift: status("hello", "half-configured"),
			Host: on(status("hello", "config-files"), put("/etc/hello.conf", "my own\n"))},
		hosttest.Case{Name: "with what it needs", Resource: resource.Package{Package: "libpwquality1"}, Host: on()},
		hosttest.Case{Name: "some of it there", Resource: resource.Package{Package: "libpwquality1"},
			Host: on(status("libcrack2", "installed"), put("/usr/lib/libcrack.so.2", "library"))},
		hosttest.Case{Name: "some of it there once", Resource: resource.Package{Package: "libpwquality1"},
			Host: on(status("libpwquality-common", "config-files"), put("/etc/security/pwquality.conf", "minlen = 9\n"))},
	)
	t.Run("brought", func(t *testing.T) {
		h := hosttest.Debian(t)
		names, err := pwquality.Brings(t.Context(), h)
		want := []string{"libcrack2", "libpwquality-common", "libpwquality1"}
		if err != nil || !slices.Equal(names, append([]string{"libpam-pwquality"}, want...)) {
			t.Errorf("Brings: %v, %v", names, err)
		}
		change, err := server.Check(t.Context(), h, pwquality)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Apply(t.Context(), h, pwquality, change); err != nil {
			t.Fatal(err)
		}
		brought(want...)(t, h)
	})
}

func TestPackageRefuses(t *testing.T) {
	tests := []struct {
		name, install, want string
		change              func(*hosttest.Host)
	}{
		{"to remove another", "rival", "it would remove openssh-server", nil},
		{"what is not to be had", "broken", "Unable to locate package not-in-the-archive", nil},
		{"while dpkg is unfinished", "hello", "dpkg was interrupted and has left work undone: sudo half-configured",
			status("sudo", "half-configured")},
		{"what is half there", "hello", "hello unpacked", status("hello", "unpacked")},
		{"an option", "-y", "is no name", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hosttest.Debian(t)
			if tt.change != nil {
				tt.change(h)
			}
			start, p := h.String(), resource.Package{Package: tt.install}
			change, err := server.Check(t.Context(), h, p)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = server.Apply(t.Context(), h, p, change); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
			if h.String() != start {
				t.Error("the host has changed")
			}
		})
	}
}

// What something else has come to need meanwhile is not purged.
func TestPackageThatIsNeeded(t *testing.T) {
	ctx, h := t.Context(), hosttest.Debian(t)
	p := resource.Package{Package: "libcrack2"}
	change, err := server.Check(ctx, h, p)
	if err != nil {
		t.Fatal(err)
	}
	if change, err = server.Apply(ctx, h, p, change); err != nil {
		t.Fatal(err)
	}
	h.SetPackage("libpwquality1", "installed")
	err = server.Undo(ctx, h, p, change)
	if replaces := (*resource.ReplacesError)(nil); !errors.As(err, &replaces) || !slices.Equal(replaces.Removed, []string{"libpwquality1"}) {
		t.Errorf("Undo: %v", err)
	}
}

// A recorder writes down the commands that a host is given.
type recorder struct {
	server.Host
	ran, asked [][]string
	stdin      string
	limited    bool
}

func (r *recorder) Run(ctx context.Context, stdin string, argv ...string) error {
	r.ran = append(r.ran, argv)
	r.stdin += stdin
	_, r.limited = ctx.Deadline()
	return r.Host.Run(ctx, stdin, argv...)
}

func (r *recorder) Output(ctx context.Context, argv ...string) (string, error) {
	r.asked = append(r.asked, argv)
	return r.Host.Output(ctx, argv...)
}

// No installation can come to a dialogue, restart a service behind somebody's
// back, give up because another program holds the lock, or last for ever. The
// environment is in the command, where sudo and systemd cannot drop it.
func TestPackageAsksNothing(t *testing.T) {
	ctx, h := t.Context(), &recorder{Host: hosttest.Debian(t)}
	p := resource.Package{Package: "libpam-pwquality"}
	change, err := server.Check(ctx, h, p)
	if err != nil {
		t.Fatal(err)
	}
	if change, err = server.Apply(ctx, h, p, change); err != nil {
		t.Fatal(err)
	}
	if err := server.Undo(ctx, h, p, change); err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, argv := range slices.Concat(h.ran, h.asked) {
		apt := slices.Index(argv, "apt-get")
		if apt < 0 {
			continue
		}
		runs++
		if argv[0] != "env" {
			t.Errorf("%q has no environment of its own", argv)
		}
		for _, want := range []string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "UCF_FORCE_CONFFOLD=1"} {
			if !slices.Contains(argv[:apt], want) {
				t.Errorf("%q lacks %s", argv, want)
			}
		}
		for _, want := range []string{"-y", "DPkg::Lock::Timeout=120", "Dpkg::Options::=--force-confold"} {
			if !slices.Contains(argv[apt:], want) {
				t.Errorf("%q lacks %s", argv, want)
			}
		}
	}
	if runs < 3 || h.stdin != "" || !h.limited {
		t.Errorf("%d runs of apt-get, given %q, with an end: %v", runs, h.stdin, h.limited)
	}
}
