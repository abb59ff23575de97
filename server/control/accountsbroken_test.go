package control_test

import (
	"slices"

	"github.com/holdfast-security/holdfast/server"
)

// brokenStates are the states in which servers are found in the wild.
func brokenStates() []broken {
	return slices.Concat(brokenPasswords(), brokenSudo(), brokenAdmins(), brokenRoot(), brokenTime())
}

const installQuality = "apt-get update -qq; apt-get install -qq -y --no-install-recommends libpam-pwquality cracklib-runtime wamerican >/dev/null"

func brokenPasswords() []broken {
	c := []string{"password-quality"}
	return []broken{
		{name: "passwords of a stock server", controls: c, alone: true, setup: "true", cause: "package libpam-pwquality"},
		{
			name: "the guide's cracklib line", controls: c, alone: true,
			setup: `sed -i 's/^password.*pam_unix.so/password requisite pam_cracklib.so retry=3 minlen=10 difok=3 ucredit=-1 lcredit=-2 dcredit=-1 ocredit=-1\n&/' /etc/pam.d/common-password`,
			cause: "the module pam_cracklib.so is not installed",
		},
		{
			name: "the guide's script", controls: c, alone: true,
			setup: `printf '%s\n' 'password	requisite			pam_cracklib.so retry=3 minlen=10 difok=3 minlen=8' ` +
				`'password	[success=1 default=ignore]	pam_unix.so obscure use_authtok try_first_pass sha512' >/tmp/lines
sed -i -e '/^password.*pam_unix.so/{r /tmp/lines
d}' /etc/pam.d/common-password; rm /tmp/lines`,
			cause: "the module pam_cracklib.so is not installed",
		},
		{
			name: "the guide's text as it is printed", controls: c, alone: true,
			setup: `sed -i 's/^password\s*requisite.*/password requisite retry=3 minlen=10 difok=3/' /etc/pam.d/common-password`,
			cause: "the module retry=3 is not installed",
		},
		{
			name: "a foreign file asks for less", controls: c, base: installQuality,
			setup: "mkdir /etc/security/pwquality.conf.d; echo 'minlen = 4' >/etc/security/pwquality.conf.d/99-weak.conf; echo 'dictcheck=0 # no' >>/etc/security/pwquality.conf",
			cause: "-minlen = 4",
		},
		{
			name: "an argument asks for less", controls: c, base: installQuality,
			setup: "sed -i 's/pam_pwquality.so retry=3/& minlen=4 enforcing=0/' /etc/pam.d/common-password",
			cause: "minlen=4 enforcing=0",
		},
		{
			name: "the profile is disabled and the hash is weak", controls: c, base: installQuality,
			setup: "pam-auth-update --package --remove pwquality; sed -i 's/yescrypt/md5/' /etc/pam.d/common-password; sed -i 's/^ENCRYPT_METHOD.*/ENCRYPT_METHOD MD5/' /etc/login.defs",
			cause: "PAM profile pwquality",
		},
		{
			name: "the check is asked and not obeyed", controls: c, base: installQuality,
			setup: "sed -i 's/requisite\\(.*pam_pwquality\\)/optional\\1/' /etc/pam.d/common-password",
			cause: "PAM asks the check",
		},
		{
			name: "composition rules where NIST wants none", controls: c, base: installQuality,
			setup:  "echo 'minclass = 4' >>/etc/security/pwquality.conf; echo 'ucredit = -1' >>/etc/security/pwquality.conf",
			cause:  "-minclass = 4",
			config: func(c *server.Config) { c.Passwords = server.PasswordsNIST },
		},
	}
}

func brokenSudo() []broken {
	c := []string{"sudo-asks-password"}
	return []broken{
		{
			name: "cloud-init's file", controls: c,
			setup: "useradd -m -s /bin/bash -G sudo debian; echo 'debian ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-cloud-init-users; chmod 440 /etc/sudoers.d/90-cloud-init-users",
			cause: "debian: sudo ran a command",
		},
		{
			name: "the group without a password, over two lines", controls: c,
			setup: `useradd -m -s /bin/bash -G sudo bert; sed -i 's/^%sudo.*/%sudo ALL=(ALL:ALL) \\\n\t NOPASSWD: ALL/' /etc/sudoers; visudo -c -q`,
			cause: "NOPASSWD for %sudo",
		},
		{
			name: "authenticate switched off", controls: c,
			setup: "echo 'Defaults:%sudo !authenticate, timestamp_timeout=-1' >/etc/sudoers.d/local; printf 'Defaults exempt_group=users\\n' >/etc/sudoers.d/zzz-late; chmod 440 /etc/sudoers.d/*",
			cause: "Defaults !authenticate for %sudo",
		},
		{
			name: "sudo lost its setuid bit", controls: c,
			setup: "useradd -m -s /bin/bash -G sudo bert; chmod u-s /usr/bin/sudo",
			cause: "program /usr/bin/sudo",
		},
		{
			name: "nothing reads sudoers.d and nobody may use sudo", controls: c,
			setup: "useradd -m -s /bin/bash -G sudo bert; printf 'Defaults !use_pty\\nroot ALL=(ALL:ALL) ALL' >/etc/sudoers",
			cause: "Defaults use_pty is not set",
		},
		{
			name: "sudo asks for root's password, and root is to have none", controls: []string{"sudo-asks-password", "admin-accounts", "root-locked"},
			setup: "useradd -m -s /bin/bash -G sudo anna; echo 'anna:Zq7!vowelkbrt' | chpasswd; echo 'root:guess-me' | chpasswd; echo 'Defaults rootpw' >/etc/sudoers.d/suse; chmod 440 /etc/sudoers.d/suse",
			cause: "Defaults rootpw for everybody",
		},
		{
			name: "a policy that others may write to", controls: c, stays: true,
			setup: "echo 'root ALL=ALL' >/etc/sudoers.d/open; chmod 666 /etc/sudoers.d/open",
			cause: "bad permissions",
		},
	}
}

func brokenAdmins() []broken {
	c := []string{"sudo-asks-password", "admin-accounts", "no-other-admins"}
	return []broken{
		{name: "no account", controls: c, setup: "true", cause: "anna: there is no such account"},
		{
			name: "an account that is not in the group", controls: c,
			setup: "useradd -m -s /bin/bash anna; echo 'anna:Zq7!vowelkbrt' | chpasswd",
			cause: "is not in the sudoers file",
		},
		{
			name: "keys that sshd does not read", controls: c,
			setup: "useradd -m -s /bin/bash -G sudo anna; echo 'anna:Zq7!vowelkbrt' | chpasswd; mkdir /home/anna/.ssh; echo '" + adminKey +
				"' >/home/anna/.ssh/authorized_keys; chown -R root:root /home/anna/.ssh; chmod 777 /home/anna /home/anna/.ssh; chmod 666 /home/anna/.ssh/authorized_keys",
			cause: "-directory 0777 root:root",
		},
		{
			name: "no shell, and a foreign key", controls: c,
			setup: "useradd -m -s /usr/sbin/nologin -G sudo anna; echo 'anna:Zq7!vowelkbrt' | chpasswd; mkdir -m 700 /home/anna/.ssh; printf '%s' '" + foreignKey +
				"' >/home/anna/.ssh/authorized_keys; chmod 600 /home/anna/.ssh/authorized_keys; chown -R anna:anna /home/anna/.ssh",
			cause: "-shell /usr/sbin/nologin",
		},
		{
			name: "a locked password with a key", controls: c,
			setup: "useradd -m -s /bin/bash -G sudo anna; mkdir -m 700 /home/anna/.ssh; echo 'command=\"false\" " + adminKey +
				"' >/home/anna/.ssh/authorized_keys; chmod 600 /home/anna/.ssh/authorized_keys; chown -R anna:anna /home/anna/.ssh; grep '^anna:!:' /etc/shadow",
			cause: "anna: its password is none",
		},
		{
			name: "somebody else can become root", controls: c, stays: true,
			setup: "useradd -m -s /bin/bash -G sudo mallory; echo 'mallory:Zq7!vowelkbrt' | chpasswd; useradd -m -s /bin/bash plain; echo 'plain:Zq7!vowelkbrt' | chpasswd",
			cause: "mallory can log in and become root",
		},
	}
}

func brokenRoot() []broken {
	c := []string{"sudo-asks-password", "admin-accounts", "break-glass", "root-locked"}
	const admin = "useradd -m -s /bin/bash -G sudo anna; echo 'anna:Zq7!vowelkbrt' | chpasswd; "
	return []broken{
		{name: "root with a password", controls: c, setup: "echo 'root:guess-me' | chpasswd", cause: "root's password: usable"},
		{
			name: "root with an expired password", controls: c,
			setup: admin + "echo 'root:guess-me' | chpasswd; chage -d 0 -M 10 root",
			cause: "You are required to change your password immediately",
		},
		{
			name: "no password, but an age", controls: c,
			setup: admin + "usermod -p '*' root; chage -d 2020-01-01 -M 30 -E 2021-01-01 root",
			cause: "password age root",
		},
		{
			name: "no break-glass", controls: c, stays: true,
			setup: "echo 'root:guess-me' | chpasswd", cause: "the site file has no break_glass",
			config: func(c *server.Config) { c.BreakGlass = server.BreakGlass{} },
		},
		{
			name: "a break-glass account with a key", controls: c, stays: true,
			setup: "useradd -m -s /bin/bash rescue; mkdir -m 700 /home/rescue/.ssh; echo '" + foreignKey + "' >/home/rescue/.ssh/authorized_keys",
			cause: "keys: 1, in group sudo: false",
		},
	}
}

func brokenTime() []broken {
	c := []string{"time-in-sync"}
	const timesyncd = "apt-get update -qq; apt-get install -qq -y --no-install-recommends systemd-timesyncd >/dev/null\n"
	return []broken{
		{name: "no time daemon", controls: c, alone: true, setup: "apt-get purge -qq -y systemd-timesyncd chrony ntpsec >/dev/null 2>&1 || true", cause: "package systemd-timesyncd"},
		{name: "a time daemon that is not started", controls: c, alone: true, setup: timesyncd + "systemctl disable --quiet systemd-timesyncd", cause: "unit systemd-timesyncd.service"},
		{
			name: "two time daemons", controls: c, alone: true,
			setup: timesyncd + "printf '[Unit]\\nDescription=another\\n[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/openntpd.service\n" +
				"systemctl daemon-reload; systemctl enable --quiet openntpd systemd-timesyncd",
			cause: "unit systemd-timesyncd.service",
		},
	}
}
