package control_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

var sshControls = []string{"ssh-keys-only", "ssh-no-root", "ssh-algorithms", "ssh-sessions", "ssh-jump", "ssh-strong-keys"}

var sshConfig = server.Config{
	Site: "lab", Server: "app-1", Port: 22,
	Admins: []server.Admin{{Name: "anna", Keys: []string{adminKey}}},
}

// A sshCase is a server whose sshd is in a state found in the wild.
type sshCase struct {
	name string
	// setup is a script for the server's shell that brings the state about.
	setup string
	// cause is what the audit must say before it is mended.
	cause string
	// refused is why apply must refuse and leave the server as it is; empty if
	// it mends it.
	refused string
	// finding is what the audit still says after apply; empty if it passes.
	finding string
	// config changes what is wanted; may be nil.
	config func(*server.Config)
	// then is a script that must succeed on the mended server.
	then string
	// undo is part of what undo says that has put back all but the daemon; empty
	// if it has nothing to say.
	undo string
}

// verifyPackages lists what is changed of the packages' own files. dpkg does not
// know of sshd_config, which ucf compares.
const verifyPackages = "(dpkg --verify openssh-server openssh-client openssh-sftp-server systemd libpam-runtime || true)"

const reload = "\nsystemctl reload ssh\n"

func sshCases() []sshCase {
	return []sshCase{
		{
			name: "stock", setup: "true", cause: "passwordauthentication yes",
			then: "ls /etc/cloud 2>/dev/null && exit 1; grep -q '^# holdfast' -r /etc/ssh && exit 1; grep -q 00-holdfast /etc/ssh/sshd_config && exit 1; true",
		},
		{
			name:  "cloud-init says yes",
			setup: "mkdir -p /etc/cloud/cloud.cfg.d; echo 'PasswordAuthentication yes' >/etc/ssh/sshd_config.d/50-cloud-init.conf" + reload,
			cause: "/etc/ssh/sshd_config.d/50-cloud-init.conf:1: PasswordAuthentication yes",
			then:  "grep -qx 'ssh_pwauth: false' /etc/cloud/cloud.cfg.d/99-holdfast-ssh.cfg; grep -qx 'PasswordAuthentication yes' /etc/ssh/sshd_config.d/50-cloud-init.conf",
		},
		{
			name: "a foreign file sorts first",
			setup: `printf '%s\n' '# ours' 'PasswordAuthentication yes' 'Banner none' 'Match User bob' '  PermitRootLogin yes' '  X11Forwarding yes' >/etc/ssh/sshd_config.d/00-aaa.conf
chmod 600 /etc/ssh/sshd_config.d/00-aaa.conf` + reload,
			cause: "/etc/ssh/sshd_config.d/00-aaa.conf:2: PasswordAuthentication yes",
			then:  "test $(grep -c '^# holdfast: ' /etc/ssh/sshd_config.d/00-aaa.conf) = 3; grep -qx 'Banner none' /etc/ssh/sshd_config.d/00-aaa.conf; test $(stat -c %a /etc/ssh/sshd_config.d/00-aaa.conf) = 600",
		},
		{
			name:  "a Match block reopens passwords",
			setup: `printf '%s\n' 'Match User bob Address 10.0.0.0/8' '  PasswordAuthentication yes' '  AuthenticationMethods any' >>/etc/ssh/sshd_config` + reload,
			cause: "PasswordAuthentication yes (in Match user bob address 10.0.0.0/8)",
		},
		{
			name: "the guide's own file without an Include",
			setup: `printf '%s\n' 'Port 22' 'HostKey /etc/ssh/ssh_host_rsa_key' 'HostKey /etc/ssh/ssh_host_ed25519_key' 'PermitRootLogin yes' 'X11Forwarding yes' 'UsePAM yes' 'Subsystem sftp /usr/lib/openssh/sftp-server' >/etc/ssh/sshd_config
printf 'Port 2222\n' >/etc/ssh/sshd_config.d/99-dormant.conf` + reload,
			cause: "/etc/ssh/sshd_config:4: PermitRootLogin yes",
			then:  "test $(head -2 /etc/ssh/sshd_config | tail -1 | cut -d' ' -f1) = Include; test $(/usr/sbin/sshd -T | grep -c '^port 2222') = 0",
		},
		{
			name:  "the Include stands after settings",
			setup: `printf '%s\n' 'PasswordAuthentication yes' 'Include /etc/ssh/sshd_config.d/*.conf' 'Match User anna' 'PermitRootLogin yes' >/etc/ssh/sshd_config` + reload,
			cause: "/etc/ssh/sshd_config:1: PasswordAuthentication yes",
		},
		{
			name:    "the Include stands in a Match block",
			setup:   `printf '%s\n' 'Port 22' 'Match User anna' 'Include /etc/ssh/sshd_config.d/*.conf' >/etc/ssh/sshd_config` + reload,
			cause:   "/etc/ssh/sshd_config:3: Include",
			refused: "/etc/ssh/sshd_config:3: Include /etc/ssh/sshd_config.d/*.conf: an Include in a Match block takes in",
		},
		{
			name: "options on the command line",
			setup: `echo 'SSHD_OPTS="-4 -o PasswordAuthentication=yes -o Ciphers=aes128-ctr,aes128-cbc"' >/etc/default/ssh
systemctl restart ssh`,
			cause: "/etc/default/ssh: SSHD_OPTS: -o passwordauthentication=yes",
			then:  `grep -qx 'SSHD_OPTS="-4"' /etc/default/ssh`,
		},
		{
			name: "options in the unit",
			setup: `mkdir -p /etc/systemd/system/ssh.service.d
printf '%s\n' '[Service]' 'ExecStart=' 'ExecStart=/usr/sbin/sshd -D -o UsePAM=no $SSHD_OPTS' >/etc/systemd/system/ssh.service.d/x.conf
systemctl daemon-reload; systemctl restart ssh`,
			cause:   "ssh.service: ExecStart: -o usepam=no",
			refused: "the command line of sshd comes before every file and says otherwise: ssh.service: ExecStart: -o usepam=no",
		},
		{
			name:    "a garbled foreign file",
			setup:   `echo 'MACs h,m,a,c,-,s,h,a,2' >/etc/ssh/sshd_config.d/60-garbled.conf`,
			cause:   "/etc/ssh/sshd_config.d/60-garbled.conf line 1",
			refused: "sshd refuses its configuration as it is",
		},
		{
			name:  "a garbled file of ours",
			setup: `printf 'h,m,a,c\n' >/etc/ssh/sshd_config.d/00-holdfast-keys-only.conf`,
			cause: "+PasswordAuthentication no",
			// The daemon of before cannot be had again with the files of before.
			undo: "systemctl reload ssh.service",
		},
		{
			name: "behind a socket",
			setup: `systemctl disable -q --now ssh.service; systemctl enable -q --now ssh.socket
ssh-keyscan -t ed25519 127.0.0.1 >/dev/null 2>&1; systemctl is-active -q ssh.service`,
			cause: "passwordauthentication yes",
			// A socket that is masked makes the service unstartable.
			then: `systemctl is-active -q ssh.socket; systemctl is-enabled -q ssh.socket
for u in ssh.service ssh.socket; do if test "$(systemctl is-enabled $u)" = masked; then exit 1; fi; done
ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | grep -q ssh-ed25519; systemctl is-active -q ssh.service`,
		},
		{
			name:  "the unit has no alias",
			setup: "rm -f /etc/systemd/system/sshd.service; systemctl daemon-reload",
			cause: "passwordauthentication yes",
			then:  "if systemctl cat sshd.service >/dev/null 2>&1; then exit 1; fi; systemctl is-active -q ssh.service; ls /run/holdfast/daemon/ssh.service >/dev/null",
		},
		{
			name:  "what upgrades ask about",
			setup: verifyPackages + " >/run/packages.txt; sha256sum /etc/ssh/sshd_config >/run/sshd_config.sum",
			cause: "passwordauthentication yes",
			then:  verifyPackages + " | diff /run/packages.txt -; sha256sum -c --quiet /run/sshd_config.sum; ls /etc/ssh/sshd_config.d/00-holdfast-*.conf >/dev/null",
		},
		{
			name:  "no PAM and old algorithms",
			setup: `printf '%s\n' 'UsePAM no' 'KexAlgorithms +diffie-hellman-group14-sha1' 'HostKeyAlgorithms +ssh-rsa' 'PubkeyAcceptedAlgorithms +ssh-rsa' >/etc/ssh/sshd_config.d/10-legacy.conf` + reload,
			cause: "it offers ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521",
		},
		{
			name:  "a daemon that was not told of its file",
			setup: `systemctl restart ssh; echo 'MaxAuthTries 3' >/etc/ssh/sshd_config.d/99-later.conf`,
			cause: "daemon ssh.service",
		},
		{
			name:  "limits that are stricter and looser",
			setup: `printf '%s\n' 'MaxAuthTries 3' 'LoginGraceTime 30s' 'LogLevel DEBUG' 'Match User bob' ' MaxSessions 1' ' MaxAuthTries 9' >>/etc/ssh/sshd_config` + reload,
			cause: "maxauthtries 9 for bob from 192.0.2.1, because of /etc/ssh/sshd_config:",
			then: `/usr/sbin/sshd -T -C user=anna,host=x,addr=10.0.0.1 >/tmp/t; grep -qx 'maxauthtries 3' /tmp/t; grep -qx 'logingracetime 30' /tmp/t; grep -qx 'loglevel DEBUG' /tmp/t
/usr/sbin/sshd -T -C user=bob,host=x,addr=10.0.0.1 >/tmp/t; grep -qx 'maxauthtries 3' /tmp/t; grep -qx 'maxsessions 1' /tmp/t; rm /tmp/t`,
		},
		{
			name:   "a jump host that forbids what it is for",
			setup:  `printf '%s\n' 'AllowTcpForwarding no' 'DisableForwarding yes' 'PermitOpen none' 'AllowAgentForwarding yes' 'Match User bob' ' PermitOpen 127.0.0.1:80' >>/etc/ssh/sshd_config` + reload,
			cause:  "anna: allowtcpforwarding no, permitopen none, disableforwarding yes",
			config: func(c *server.Config) { c.Jump = true },
			then: `/usr/sbin/sshd -T -C user=anna,host=x,addr=10.0.0.1 >/tmp/t
grep -qx 'allowtcpforwarding local' /tmp/t; grep -qx 'permitopen any' /tmp/t; grep -qx 'disableforwarding no' /tmp/t; grep -qx 'allowagentforwarding no' /tmp/t
/usr/sbin/sshd -T -C user=bob,host=x,addr=10.0.0.1 >/tmp/t
grep -qx 'allowtcpforwarding no' /tmp/t; grep -qx 'permitopen 127.0.0.1:80' /tmp/t; grep -qx 'disableforwarding yes' /tmp/t; grep -qx 'allowagentforwarding no' /tmp/t; rm /tmp/t`,
		},
		{
			name:   "agents that the site asks for",
			setup:  `echo 'AllowAgentForwarding no' >/etc/ssh/sshd_config.d/60-agent.conf` + reload,
			cause:  "allowagentforwarding no",
			config: func(c *server.Config) { c.AgentForwarding = true },
			then:   `/usr/sbin/sshd -T -C user=anna,host=x,addr=10.0.0.1 | grep -qx 'allowagentforwarding yes'`,
		},
		{
			name:  "the break-glass key",
			setup: `mkdir -p -m 700 /root/.ssh; printf 'Match Address 10.0.0.0/8\n PermitRootLogin yes\n' >/etc/ssh/sshd_config.d/70-lan.conf` + reload,
			cause: "70-lan.conf:2: PermitRootLogin yes",
			config: func(c *server.Config) {
				c.BreakGlass = server.BreakGlass{Key: foreignKey, From: []string{"10.20.0.0/16", "2001:db8::/32"}}
			},
			then: `/usr/sbin/sshd -T -C user=root,host=x,addr=10.20.0.9 | grep -qx 'permitrootlogin without-password'
/usr/sbin/sshd -T -C user=root,host=x,addr=10.20.0.9 | grep -qx 'authorizedkeysfile /etc/ssh/holdfast_break_glass_keys'
/usr/sbin/sshd -T -C user=root,host=x,addr=10.21.0.9 | grep -qx 'permitrootlogin no'
/usr/sbin/sshd -T -C user=anna,host=x,addr=10.20.0.9 | grep -qx 'permitrootlogin no'
grep -q '^restrict,pty,from="10.20.0.0/16,2001:db8::/32" ssh-ed25519 ' /etc/ssh/holdfast_break_glass_keys`,
		},
		{
			name: "an installed RSA key of 2048 bits",
			setup: `useradd -m -s /bin/bash anna; install -d -m 700 -o anna -g anna ~anna/.ssh
ssh-keygen -q -t rsa -b 2048 -N '' -f /tmp/k; install -m 600 -o anna -g anna /tmp/k.pub ~anna/.ssh/authorized_keys; rm /tmp/k /tmp/k.pub`,
			cause:   "ssh-rsa of 2048 bits",
			finding: "anna has no stronger key here yet, so it goes on opening the account",
		},
		{
			name:    "a new RSA key of 2048 bits",
			setup:   "true",
			cause:   "ssh-rsa of 2048 bits (new) is too short",
			refused: "a new key of anna: ssh-rsa of 2048 bits (new) is too short: an RSA key needs 3072 bits or more",
			config: func(c *server.Config) {
				c.Admins = []server.Admin{{Name: "anna", Keys: []string{adminKey, weakKey}}}
			},
		},
		{
			name:    "only host keys that are not offered",
			setup:   `rm /etc/ssh/ssh_host_ed25519_key* /etc/ssh/ssh_host_rsa_key*; ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key` + reload,
			cause:   "no host key of type ed25519, and no RSA host key of 3072 bits or more",
			refused: "the server has no host key of type ed25519",
		},
	}
}

// weakKey was made by ssh-keygen -t rsa -b 2048.
const weakKey = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDIe0bv4MwD9DgJhIZnr8wY6uHNc59uZIcb2V9Nqb6Mvl+5lQyrnmUCKWQzNReH+ZCJ/ZXq534l5dLFDU6FAs+hg2iIYGQNVuh8fzsTCtHtELx2/tqbYjDYPTcWjxZX3jOs8+nXOMcX5stfVt19SwcQFV68QG6SVxHxVkG+8QjaRYpc80N9YuPCOT46PoIMRKw+AjNjB2OvgzxckdANm98JVc3OOSxpXQV9L9/o0Kgp5sJRGd49LVJoZVc4AAwvPGqDO3Wv9MTEV0eNl2o7ka2dAfE0neSsD/ML5qJ1iwdFtPetIvEJapR8gsmGXb1lCg4SV66UYnWzCmLBXJB1DMKf new"

func TestSSHOnServers(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			for _, c := range sshCases() {
				t.Run(c.name, func(t *testing.T) { mendSSH(t, labtest.Server(t, suite), c) })
			}
		})
	}
}

// mendSSH is the life of the controls on one server: the audit fails and names
// the cause; apply mends it or refuses and leaves everything as it is; the audit
// passes; nothing is left to do; undo gives back the server, byte for byte.
func mendSSH(t *testing.T, s *lab.Server, c sshCase) {
	copyBinary(t, s)
	shell(t, s, c.setup)
	j := job{Controls: sshControls, Config: sshConfig}
	if c.config != nil {
		c.config(&j.Config)
	}
	before := snapshot(t, s)
	j.Do = "audit"
	if verdict, said := summary(inServer(t, s, j).Results); verdict == server.Pass || !strings.Contains(said, c.cause) {
		t.Errorf("the audit says %s and does not name %q:\n%s", verdict, c.cause, said)
	}
	j.Do = "apply"
	applied := tryInServer(t, s, j)
	if c.refused != "" {
		if !strings.Contains(applied.Error, c.refused) || len(applied.Done) > 0 {
			t.Errorf("apply did not refuse with %q: %+v", c.refused, applied)
		}
		if d := before.Diff(snapshot(t, s)); len(d) > 0 {
			t.Errorf("the refused apply changed the server: %s", d)
		}
		return
	}
	if applied.Error != "" || len(applied.Left) > 0 {
		t.Fatalf("apply: %s; a second plan asks for %s\n%s", applied.Error, applied.Left, shell(t, s, "journalctl --no-pager -n 20 -u ssh.service -u ssh.socket"))
	}
	j.Do = "audit"
	verdict, said := summary(inServer(t, s, j).Results)
	if c.finding == "" && verdict != server.Pass || !strings.Contains(said, c.finding) {
		t.Errorf("after apply the audit says %s:\n%s", verdict, said)
	}
	shell(t, s, c.then+"\n/usr/sbin/sshd -t")
	j.Do, j.Done = "undo", applied.Done
	if said := tryInServer(t, s, j).Error; (said == "") != (c.undo == "") || !strings.Contains(said, c.undo) {
		t.Errorf("undo says %q, want %q in it", said, c.undo)
	}
	if d := before.Diff(snapshot(t, s)); len(d) > 0 {
		t.Errorf("undo did not give back the server: %s", d)
	}
}

// tryInServer is inServer for a job that may fail.
func tryInServer(t *testing.T, s *lab.Server, j job) outcome {
	t.Helper()
	in, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Exec(t.Context(), bytes.NewReader(in), "env", insideVariable+"=1", "/run/control.test")
	if err != nil {
		t.Fatal(err)
	}
	var o outcome
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return o
}

// TestSSHLogins logs in for real: with a key as an admin, and neither with a
// password nor as root; and lets ssh-audit look at what is offered.
func TestSSHLogins(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			s := labtest.Server(t, suite)
			copyBinary(t, s)
			shell(t, s, "apt-get update -qq; apt-get install -qq -y --no-install-recommends sshpass >/dev/null\n"+
				"useradd -m -s /bin/bash anna; echo anna:Zq7vowelkbrt | chpasswd\n"+
				"install -d -m 700 -o anna -g anna ~anna/.ssh; install -m 600 -o anna -g anna /root/.ssh/authorized_keys ~anna/.ssh/")
			login := func(user string, options ...string) string {
				argv := append(append([]string{}, s.SSH()...), "true")
				for i, a := range argv {
					argv[i] = strings.Replace(a, "root@", user+"@", 1)
				}
				argv = append(append([]string{argv[0], "-o", "BatchMode=yes"}, options...), argv[1:]...)
				out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
				if err == nil {
					return "in"
				}
				return string(out)
			}
			for _, user := range []string{"root", "anna"} {
				if got := login(user); got != "in" {
					t.Fatalf("%s could not log in before: %s", user, got)
				}
			}
			j := job{Do: "apply", Controls: sshControls, Config: sshConfig}
			inServer(t, s, j)
			if got := login("anna"); got != "in" {
				t.Errorf("the admin cannot log in: %s", got)
			}
			if got := login("root"); !strings.Contains(got, "Permission denied (publickey)") {
				t.Errorf("root: %s", got)
			}
			// From the server itself, so that a penalty hits no other address.
			out, err := s.Exec(t.Context(), nil, "sshpass", "-p", "Zq7vowelkbrt", "ssh", "-o", "StrictHostKeyChecking=no",
				"-o", "UserKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no", "anna@127.0.0.1", "true")
			if err == nil || !strings.Contains(err.Error(), "Permission denied (publickey)") {
				t.Errorf("with a password: %s, %v", out, err)
			}
			// The break-glass key opens root from its network and nowhere else.
			public, err := os.ReadFile(s.Lab().Key() + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			desk, _ := s.Lab().Desk()
			for from, want := range map[string]string{desk.String() + "/32": "in", "10.255.0.0/16": "Permission denied (publickey)"} {
				j.Config.BreakGlass = server.BreakGlass{Key: string(public), From: []string{from}}
				inServer(t, s, j)
				if got := login("root"); !strings.Contains(got, want) {
					t.Errorf("root with the break-glass key that works from %s: %s, want %s", from, got, want)
				}
			}
			if got := login("anna"); got != "in" {
				t.Errorf("the admin cannot log in beside the break-glass key: %s", got)
			}
			auditOffer(t, s, suite)
		})
	}
}

// auditOffer has ssh-audit say what it thinks. Debian 12 has a version that
// calls the newer algorithms unknown, so that of Debian 13 looks at both.
func auditOffer(t *testing.T, s *lab.Server, suite string) {
	looker := s
	if suite != "trixie" {
		looker = labtest.Server(t, "trixie")
	}
	shell(t, looker, "apt-get update -qq; apt-get install -qq -y --no-install-recommends ssh-audit >/dev/null")
	cmd := exec.CommandContext(t.Context(), "chroot", looker.Root(), "ssh-audit", "--no-colors", s.Addr4().String())
	out, _ := cmd.CombinedOutput() // its exit status says no more than its text
	if !bytes.Contains(out, []byte("(kex)")) || bytes.Contains(out, []byte("[fail]")) || bytes.Contains(out, []byte("[warn]")) {
		t.Errorf("ssh-audit says:\n%s", out)
	}
}
