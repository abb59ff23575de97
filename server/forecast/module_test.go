package forecast_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/forecast"
	"github.com/holdfast-security/holdfast/server/resource"
)

func TestMissingModule(t *testing.T) {
	const module = "/usr/lib/x86_64-linux-gnu/security/pam_unix.so"
	for _, c := range []struct {
		name, sshd, account string
		in                  bool
	}{
		{"all there", "@include common-account\n", "account [success=1 default=ignore] pam_unix.so\n", true},
		{"missing in an included file", "@include common-account\n", "account required pam_gone.so\n", false},
		{"missing in a substack", "account substack common-account\n", "account requisite pam_gone.so\n", false},
		{"missing and passed over", "-session required pam_gone.so\nsession optional pam_gone.so\n", "", true},
		{"missing in the file itself", "account required pam_gone.so\n", "", false},
		{"no path of that name", "account required /opt/pam_gone.so\n", "", false},
		{"only for passwords", "password required pam_gone.so\n", "", true},
		{"includes itself", "@include sshd\naccount required pam_unix.so\n", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := stock()
			f.entries["/etc/pam.d/sshd"] = server.Entry{Mode: 0o644, Owner: "root", Content: c.sshd}
			f.entries["/etc/pam.d/common-account"] = server.Entry{Mode: 0o644, Owner: "root", Content: c.account}
			f.entries[module] = server.Entry{Mode: 0o644, Owner: "root"}
			all, err := forecast.Look(t.Context(), f, server.Config{}, "")
			if err != nil {
				t.Fatal(err)
			}
			var why string
			in := false
			for _, a := range all {
				if a.Account == "root" {
					in, why = a.Password.Works || a.Key.Works, a.Password.Why
				}
			}
			for _, a := range all {
				in = in || a.Key.Works
			}
			if in != c.in || !in && !strings.Contains(why, "pam_gone.so") {
				t.Errorf("somebody gets in: %t, want %t: %q", in, c.in, why)
			}
		})
	}
}

// A module that a package of the plan brings is there once the plan was carried
// out, and no other.
func TestModuleThatComes(t *testing.T) {
	for name, in := range map[string]bool{"libpam-google-authenticator": true, "libpam-pwquality": false} {
		f := stock()
		f.entries["/etc/pam.d/sshd"] = server.Entry{Mode: 0o644, Owner: "root", Content: "auth required pam_google_authenticator.so\n"}
		p := server.Plan{Steps: []server.Step{{Resource: resource.Package{Package: name}}}}
		all, err := forecast.LookAfter(t.Context(), f, server.Config{}, "", p)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(all, func(a forecast.Access) bool { return a.Key.Works }); got != in {
			t.Errorf("with %s somebody gets in: %t, want %t", name, got, in)
		}
	}
}
