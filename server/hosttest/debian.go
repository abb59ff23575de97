package hosttest

import (
	"context"
	"io/fs"
	"maps"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
)

// below returns the entries below a directory, by path.
func (h *Host) below(dir string) map[string]server.Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]server.Entry{}
	for name, e := range h.entries {
		if strings.HasPrefix(name, dir+"/") {
			all[name] = e
		}
	}
	return all
}

// Debian returns a host that looks like a new server with Debian: accounts root
// and debian, package libraries, units, PAM, and Holdfast's directory with its
// key.
func Debian(t testing.TB) *Host {
	h := New(t)
	maps.Copy(h.programs, accountPrograms())
	h.programs["pam-auth-update"] = pamAuthUpdate
	h.programs["dpkg-query"] = dpkgQuery
	h.programs["apt-get"] = outsideWorld(aptGet)
	h.programs["dpkg"] = outsideWorld(func(_ context.Context, h *Host, _ string, argv []string) (string, error) {
		h.t.Errorf("dpkg is not imitated: %q", argv)
		return "", Exit{2, ""}
	})
	h.programs["systemctl"] = systemctl
	h.programs["nft"] = nft

	h.Put("/etc/passwd", `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
debian:x:1000:1000:Debian:/home/debian:/bin/bash
`)
	h.putSecret("/etc/shadow", `root:$6$salt$roothash:19700:0:99999:7:::
daemon:*:19700:0:99999:7:::
debian:!:19701:0:99999:7:::
`)
	h.Put("/etc/group", "root:x:0:\ndaemon:x:1:\nadm:x:4:debian\nsudo:x:27:debian\nusers:x:100:\ndebian:x:1000:\n")
	h.putSecret("/etc/gshadow", "root:*::\ndaemon:*::\nadm:*::debian\nsudo:*::debian\nusers:*::\ndebian:!::\n")
	h.Put("/etc/subuid", "debian:100000:65536\n")
	h.Put("/etc/subgid", "debian:100000:65536\n")
	h.Put("/etc/skel/.bashrc", "# bashrc\n")
	h.Put("/etc/skel/.profile", "# profile\n")
	h.putOwned("/home/debian", "debian", fs.ModeDir|0o700, "")
	h.putOwned("/root", "root", fs.ModeDir|0o700, "")

	h.putOwned(server.StateDir, "root", fs.ModeDir|0o700, "")
	h.putOwned(server.StateDir+"/vault", "root", fs.ModeDir|0o700, "")
	h.putOwned(server.StateDir+"/factor", "root", fs.ModeDir|0o700, "")
	h.putSecret(server.DigestKeyFile, strings.Repeat("k", 32))

	for _, name := range []string{"openssh-server", "sudo", "libpam-runtime", "libpam0g"} {
		h.packages[name] = "installed"
	}
	h.Put("/usr/share/pam-configs/unix", unixProfile)
	profiles := h.profiles()
	for _, s := range stacks {
		h.Put("/etc/pam.d/common-"+s.file, "# common-"+s.file+"\n"+blockBegin+
			block(profiles, []string{"unix"}, s.field, s.kind)+blockEnd)
		h.Put("/var/lib/pam/"+s.file, "Module: unix\n"+profiles["unix"][s.field])
	}
	h.Put("/var/lib/pam/seen", "unix\n")
	for _, dir := range []string{"/run", "/tmp", "/usr/bin", "/usr/lib", "/etc/security", "/etc/ssh/sshd_config.d", "/etc/sudoers.d"} {
		h.PutEntry(dir, directoryEntry(0o755))
	}
	h.Put("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n")
	h.AddUnit("ssh.service", "enabled", "active", "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf")
	h.AddUnit("ssh.socket", "disabled", "inactive")
	h.AddUnit("systemd-timesyncd.service", "disabled", "inactive")
	h.AddUnit("nftables.service", "disabled", "inactive", "/etc/systemd/system/nftables.service.d/*.conf")
	h.AddUnit("user.slice", "static", "active")
	h.AddUnit("forbidden.service", "masked", "inactive")
	return h
}

func (h *Host) putSecret(name, content string) { h.putOwned(name, "root", 0o600, content) }

const unixProfile = `Name: Unix authentication
Default: yes
Priority: 256
Auth-Type: Primary
Auth:
	[success=end default=ignore]	pam_unix.so nullok
Account-Type: Primary
Account:
	[success=end new_authtok_reqd=done default=ignore]	pam_unix.so
Session-Type: Additional
Session:
	required	pam_unix.so
Password-Type: Primary
Password:
	[success=end default=ignore]	pam_unix.so obscure yescrypt
`
