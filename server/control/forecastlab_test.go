package control_test

import (
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// TestForecastOnServers compares what is forecast for a plan on a real server
// with what the server is like. Each script is run on what the one before left.
func TestForecastOnServers(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	const account = "useradd -m -s /bin/bash anna; install -d -m 700 -o anna -g anna ~anna/.ssh; " +
		"echo '" + adminKey + "' >~anna/.ssh/authorized_keys; chmod 600 ~anna/.ssh/authorized_keys; chown anna:anna ~anna/.ssh/authorized_keys\n"
	cases := []struct {
		name, setup string
		want        string // part of the one refusal; empty if there is none
	}{
		{"no admin", "true", "the admin anna could not log in with a key: there is no such account"},
		{"an account that is no admin yet", account, "anna could log in and not become root: no rule of sudo lets it"},
		{"no password for sudo", "usermod -aG sudo anna", "sudo asks for its password, and its password is locked; root can today and could not any more"},
		{"an admin", "echo anna:Zq7vowelkbrt | chpasswd", ""},
		{"kept out by AllowGroups", "echo 'AllowGroups ops' >/etc/ssh/sshd_config.d/80-groups.conf", "sshd's AllowGroups ops keeps it out"},
		{"let in by AllowGroups", "echo 'AllowGroups sudo' >/etc/ssh/sshd_config.d/80-groups.conf", ""},
		{"kept out by DenyUsers in a Match block", "printf 'Match Address *\\n DenyUsers anna\\n' >/etc/ssh/sshd_config.d/81-match.conf", "sshd's DenyUsers anna keeps it out"},
		{"keys that others could have written", "rm /etc/ssh/sshd_config.d/8*; chmod 777 /home/anna", "because others may write /home/anna"},
		{"sudo lost its setuid bit", "chmod 700 /home/anna; chmod u-s /usr/bin/sudo", "/usr/bin/sudo does not belong to root with the setuid bit"},
		{"an expired account", "chmod u+s /usr/bin/sudo; chage -E 2000-01-01 anna", "the account has expired"},
		{"locked without PAM", "chage -E -1 anna; usermod -L anna; echo 'anna ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/anna; echo 'UsePAM no' >/etc/ssh/sshd_config.d/80-pam.conf", ""},
		{"garbled sudoers", "echo nonsense >/etc/sudoers.d/anna", "sudo asks for its password, and its password is locked"},
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			s := labtest.Server(t, suite)
			copyBinary(t, s)
			for _, c := range cases {
				shell(t, s, c.setup)
				expectRefusal(t, s, c.name, c.want)
			}
		})
	}
}

func expectRefusal(t *testing.T, s *lab.Server, name, want string) {
	t.Helper()
	o := tryInServer(t, s, job{Do: "forecast", Controls: sshControls, Config: sshConfig})
	got := strings.Join(o.Refused, "\n")
	if o.Error != "" || (want == "") != (got == "") || !strings.Contains(got, want) {
		t.Errorf("%s: refused %q, error %q; want %q", name, got, o.Error, want)
	}
}
