package lab

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// makeKey makes the lab's SSH key.
func (l *Lab) makeKey() error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("lab key: %w", err)
	}
	comment := "holdfast-lab-" + l.ID()
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return fmt.Errorf("lab key: %w", err)
	}
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		return fmt.Errorf("lab key: %w", err)
	}
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(pub)), "\n") + " " + comment + "\n"
	if err := os.WriteFile(l.Key()+".pub", []byte(line), 0o644); err != nil {
		return fmt.Errorf("lab key: %w", err)
	}
	if err := os.WriteFile(l.Key(), pem.EncodeToMemory(block), 0o600); err != nil {
		return fmt.Errorf("lab key: %w", err)
	}
	return nil
}

// furnish does what a provider does when it hands a server out: name, root's
// password and key, host keys. The root file system is mounted and at rest.
func (s *Server) furnish(ctx context.Context) error {
	key, err := os.ReadFile(s.lab.Key() + ".pub")
	if err != nil {
		return fmt.Errorf("furnish: %w", err)
	}
	if err := os.Mkdir(filepath.Join(s.Root(), "root/.ssh"), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("furnish: %w", err)
	}
	// Made here, because systemd would derive it from this machine's hardware
	// and give the same to all.
	id := make([]byte, 16)
	rand.Read(id)
	for _, f := range []struct {
		path, content string
		mode          fs.FileMode
	}{
		{"etc/machine-id", hex.EncodeToString(id) + "\n", 0o444},
		{"etc/hostname", s.name + "\n", 0o644},
		{"etc/hosts", "127.0.0.1 localhost\n127.0.1.1 " + s.name + "\n\n::1 localhost ip6-localhost ip6-loopback\n", 0o644},
		{"root/.ssh/authorized_keys", string(key), 0o600},
	} {
		path := filepath.Join(s.Root(), f.path)
		if err := os.WriteFile(path, []byte(f.content), f.mode); err != nil {
			return fmt.Errorf("furnish: %w", err)
		}
	}
	in := strings.NewReader("root:" + s.lab.Password() + "\n")
	if _, err := run(ctx, in, "chroot", s.Root(), "/usr/sbin/chpasswd"); err != nil {
		return fmt.Errorf("furnish: %w", err)
	}
	if _, err := run(ctx, nil, "chroot", s.Root(), "/usr/bin/ssh-keygen", "-A"); err != nil {
		return fmt.Errorf("furnish: %w", err)
	}
	return nil
}

// writeKnownHosts writes the KnownHosts file from what the servers have.
func (l *Lab) writeKnownHosts() error {
	var b strings.Builder
	for _, s := range l.servers {
		keys, err := filepath.Glob(filepath.Join(s.Root(), "etc/ssh/ssh_host_*_key.pub"))
		if err != nil {
			return fmt.Errorf("known hosts: %w", err)
		}
		for _, path := range keys {
			key, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("known hosts: %w", err)
			}
			fields := strings.Fields(string(key))
			if len(fields) < 2 {
				return fmt.Errorf("known hosts: %s is no public key", path)
			}
			fmt.Fprintf(&b, "%s,%s,%s,%s,%s %s %s\n", s.name, s.Addr4(), s.Addr6(), s.Private4(), s.Private6(), fields[0], fields[1])
		}
	}
	return replaceFile(l.KnownHosts(), []byte(b.String()))
}

// SSH returns the ssh command that logs in as root with the lab's key and runs
// argv, or a shell if there is none. It reads no configuration of the user and
// accepts the host key in KnownHosts only.
func (s *Server) SSH(argv ...string) []string {
	return append([]string{"ssh", "-F", "none", "-i", s.lab.Key(),
		"-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
		"-o", "UserKnownHostsFile=" + s.lab.KnownHosts(), "-o", "GlobalKnownHostsFile=none",
		"-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5",
		"root@" + s.Addr4().String()}, argv...)
}

// enter is the command that runs argv inside the process pid. The control group
// namespace is left out, because a machine with both hierarchies refuses it.
func enter(pid int, argv []string) []string {
	return append([]string{"nsenter", "--target", fmt.Sprint(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--",
		"env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=" + os.Getenv("TERM"), "DEBIAN_FRONTEND=noninteractive"}, argv...)
}

// Command returns a command that runs argv inside the server as root, in its
// root directory and with a plain environment, not through SSH. Its standard
// streams are the caller's to set. The error is ErrOff if the server is off.
func (s *Server) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	pid, err := s.Leader()
	if err != nil {
		return nil, err
	}
	full := enter(pid, argv)
	return exec.CommandContext(ctx, full[0], full[1:]...), nil
}

// Exec runs argv inside the server as [Server.Command] has it and returns what
// it printed on its standard output. stdin may be nil. An exit status that is
// not zero is a *CommandError. When ctx is done, the command is killed.
func (s *Server) Exec(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	cmd, err := s.Command(ctx, argv...)
	if err != nil {
		return nil, err
	}
	ownGroup(cmd)
	return output(ctx, cmd, stdin, append([]string{s.name + ":"}, argv...))
}
