package resource_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

const (
	pwquality = `Name: Pwquality password strength checking
Default: yes
Priority: 1024
Password-Type: Primary
Password:
	requisite			pam_pwquality.so retry=3
`
	faillock = `Name: Lock accounts after failed logins
Default: no
Priority: 0
Auth-Type: Additional
Auth:
	required	pam_faillock.so authfail
Account-Type: Additional
Account:
	required	pam_faillock.so
Session-Interactive-Only: yes
Session-Type: Additional
Session:
	optional	pam_motd.so
`
)

func TestPAM(t *testing.T) {
	profiles := []func(*hosttest.Host){
		put("/usr/share/pam-configs/pwquality", pwquality), put("/usr/share/pam-configs/faillock", faillock),
	}
	has := func(file, line string) func(testing.TB, *hosttest.Host) {
		return func(t testing.TB, h *hosttest.Host) {
			if text := h.Content("/etc/pam.d/common-" + file); !strings.Contains(text, line) {
				t.Errorf("common-%s is\n%s", file, text)
			}
		}
	}
	drift := replace("/etc/pam.d/common-account", "pam_unix.so", "pam_access.so")
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "one file", Resource: resource.PAM{Profile: "pwquality"}, Host: on(profiles...), Drift: drift,
			Shows: has("password", "password\trequisite\t\t\tpam_pwquality.so retry=3\npassword\t[success=1 ")},
		hosttest.Case{Name: "many files", Resource: resource.PAM{Profile: "faillock"}, Host: on(profiles...), Drift: drift,
			Shows: has("auth", "block)\nauth\trequired\tpam_faillock.so authfail\n")},
		hosttest.Case{Name: "edited outside the block", Resource: resource.PAM{Profile: "pwquality"}, Drift: drift,
			Host: on(append(profiles, replace("/etc/pam.d/common-password", "# common", "password optional pam_echo.so\n# common"))...)},
		hosttest.Case{Name: "without a last line break", Resource: resource.PAM{Profile: "pwquality"}, Drift: drift,
			Host: on(append(profiles, replace("/etc/pam.d/common-password", "update config\n", "update config\n  \n\n/x (none)"))...)},
	)
}

func TestPAMRefuses(t *testing.T) {
	ctx, h := t.Context(), hosttest.Debian(t)
	p := resource.PAM{Profile: "pwquality"}
	apply := func() error {
		change, err := server.Check(ctx, h, p)
		if err == nil {
			_, err = server.Apply(ctx, h, p, change)
		}
		return err
	}
	if err := apply(); err == nil || !strings.Contains(err.Error(), "there is no profile pwquality") {
		t.Errorf("without the profile: %v", err)
	}
	h.Put("/usr/share/pam-configs/pwquality", pwquality)
	replace("/etc/pam.d/common-password", "pam_unix.so", "pam_ldap.so")(h)
	start := h.String()
	err := apply()
	if edited := (*resource.EditedError)(nil); !errors.As(err, &edited) || h.String() != start {
		t.Errorf("with an edited block: %v", err)
	}
	p.Profile = "../unix"
	if err := apply(); err == nil || !strings.Contains(err.Error(), "is no name") {
		t.Errorf("%s: %v", p.Profile, err)
	}
}
