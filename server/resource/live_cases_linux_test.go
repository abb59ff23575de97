package resource_test

import (
	"fmt"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
)

// A liveCase is a resource on a real server that does not show its wanted
// state.
type liveCase struct {
	name     string
	prepare  string // a script, before the first tree
	resource server.Resource
	secret   string
	shows    string // a script that fails unless the server is as wanted
}

func liveCases() []liveCase {
	const dropIn = "/etc/ssh/sshd_config.d/00-test.conf"
	sshd := resource.File{Path: dropIn, Mode: 0o600, Content: "X11Forwarding no\n", Test: []string{"sshd", "-t", "-f"}}
	const secret = "tr0ub4dor & Drei: Zwei 99"
	password := func(account string) resource.Password { return resource.Password{Account: account} }
	usable := `grep -q '^%s:\$y\$' /etc/shadow`
	cases := []liveCase{
		{name: "file", prepare: "mkdir -p /run/sshd", resource: sshd, shows: "grep -q X11 " + dropIn + "; ! ls -A /etc/ssh/sshd_config.d | grep draft"},
		{name: "file over another", prepare: "printf 'x\\n\\n\\377' > " + dropIn + "; chmod 4751 " + dropIn + "; chown bin:sudo " + dropIn, resource: sshd},
		{name: "file over a link", prepare: "ln -sf ../nowhere " + dropIn, resource: sshd},
		{name: "absent", resource: resource.Absent{Path: dropIn}, shows: "! test -L " + dropIn},
		{name: "directory", resource: resource.Dir{Path: "/etc/holdfast-test", Mode: 0o750, Group: "sudo"}, shows: "test -d /etc/holdfast-test"},
		{name: "directory of another", prepare: "install -d -m 1777 -o bin /etc/holdfast-test; touch /etc/holdfast-test/f",
			resource: resource.Dir{Path: "/etc/holdfast-test", Mode: 0o700}},
		{name: "new account", resource: resource.Account{Account: "alice", Shell: "/bin/bash", Groups: []string{"sudo", "adm"}},
			shows: "test \"$(stat -c %a:%U:%G /home/alice)\" = 700:alice:alice; test -f /home/alice/.bashrc; id -nG alice | grep -qw sudo; pwck -qr; grpck -r"},
		{name: "known account", prepare: "useradd -m -s /bin/sh -G adm,games bob", resource: resource.Account{Account: "bob", Shell: "/bin/bash", Groups: []string{"sudo", "adm"}},
			shows: "id -nG bob | grep -w sudo | grep -qw games"},
		{name: "account in no group", prepare: "useradd -s /bin/sh carol", resource: resource.Account{Account: "carol", Shell: "/bin/sh", Groups: []string{"users"}},
			shows: "id -nG carol | grep -qw users"},
		{name: "password", resource: password("bob"), secret: secret, shows: fmt.Sprintf(usable, "bob")},
		{name: "password never set", prepare: "chage -d -1 bob", resource: password("bob"), secret: secret, shows: fmt.Sprintf(usable, "bob")},
		{name: "password to be changed", prepare: "echo 'bob:initial word 77' | chpasswd; chage -d 0 bob", resource: password("bob"), secret: secret, shows: fmt.Sprintf(usable, "bob")},
		{name: "password too old", prepare: "chage -d 15000 -M 90 bob", resource: password("bob"), secret: secret, shows: fmt.Sprintf(usable, "bob")},
		{name: "password locked", prepare: "passwd -l bob; chage -d 19000 -M 99999 bob", resource: password("bob"), secret: secret, shows: fmt.Sprintf(usable, "bob")},
		{name: "password empty", prepare: "passwd -d bob; chage -d 19000 bob", resource: password("bob"), secret: secret, shows: fmt.Sprintf(usable, "bob")},
		{name: "password barred", prepare: "usermod -p '!*' bob; chage -d 19000 bob", resource: password("bob"), secret: secret, shows: fmt.Sprintf(usable, "bob")},
		{name: "root locked", prepare: "chage -d 19123 root", resource: resource.Password{Account: "root", Locked: true}, shows: "grep -q '^root:\\*:' /etc/shadow"},
		{name: "package", resource: resource.Package{Package: "hello"}, shows: "hello"},
		{name: "package with PAM profile", resource: resource.Package{Package: "libpam-pwquality"}, shows: "grep -q pam_pwquality /etc/pam.d/common-password"},
		{name: "package once removed", prepare: "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qqy install cron >/dev/null 2>&1; apt-get -qqy remove cron; echo '# mine' >> /etc/crontab",
			resource: resource.Package{Package: "cron"}, shows: "systemctl is-active cron"},
		{name: "package without lists", prepare: "rm -rf /var/lib/apt/lists/*; apt-get -qqy purge cron", resource: resource.Package{Package: "hello"}, shows: "hello"},
		{name: "PAM profile", prepare: "printf 'Name: Test\\nDefault: no\\nPriority: 10\\nAuth-Type: Additional\\nAuth:\\n\\toptional pam_echo.so\\nPassword-Type: Primary\\nPassword:\\n\\trequisite pam_faildelay.so\\n\\toptional pam_warn.so\\n' > /usr/share/pam-configs/test",
			resource: resource.PAM{Profile: "test"}, shows: "grep -q pam_warn /etc/pam.d/common-password; grep -q pam_echo /etc/pam.d/common-auth"},
		{name: "PAM profile beside a local line", prepare: "sed -i '1i password optional pam_echo.so' /etc/pam.d/common-password",
			resource: resource.PAM{Profile: "test"}, shows: "grep -q pam_warn /etc/pam.d/common-password; head -1 /etc/pam.d/common-password | grep -q pam_echo"},
		{name: "unit", prepare: "printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/test.service; systemctl daemon-reload",
			resource: resource.Unit{Unit: "test.service", Enabled: true, Active: true}, shows: "systemctl is-active test; systemctl is-enabled test"},
		{name: "unit off", prepare: "systemctl enable --now test", resource: resource.Unit{Unit: "test.service"}, shows: "! systemctl is-active test; ! systemctl is-enabled test"},
		{name: "unit with another name", prepare: "systemctl disable --now test; printf 'Alias=other.service\\n' >> /etc/systemd/system/test.service; systemctl daemon-reload",
			resource: resource.Unit{Unit: "test.service", Enabled: true, Active: true}, shows: "systemctl is-active other"},
		{name: "unit of the distribution off", prepare: "apt-get -qqy install cron >/dev/null 2>&1",
			resource: resource.Unit{Unit: "cron.service"}, shows: "! systemctl is-active cron; ! systemctl is-enabled cron"},
	}
	return cases
}
