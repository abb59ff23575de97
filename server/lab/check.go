package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Packages are the packages of Debian that a machine needs to run a lab.
var Packages = []string{
	"systemd-container", "debootstrap", "debian-archive-keyring", "apt-cacher-ng",
	"iproute2", "openssh-client", "e2fsprogs", "util-linux",
}

// programs are what the lab runs, with the package that each is from.
var programs = []struct{ name, from string }{
	{"systemd-nspawn", "systemd-container"},
	{"debootstrap", "debootstrap"},
	{"apt-cacher-ng", "apt-cacher-ng"},
	{"apt-get", "apt"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{"unshare", "util-linux"},
	{"mkfs.ext4", "e2fsprogs"},
}

// Check says in one line what this machine lacks to run a lab, or returns nil.
// It changes nothing.
func Check() error {
	if !onLinux {
		return errors.New("the lab needs Linux")
	}
	if os.Geteuid() != 0 {
		return errors.New("the lab needs root")
	}
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p.name); err != nil {
			missing = append(missing, fmt.Sprintf("%s (package %s)", p.name, p.from))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the lab needs %s", strings.Join(missing, ", "))
	}
	unified, _, err := hierarchies()
	if err != nil {
		return fmt.Errorf("the lab needs control groups: %w", err)
	}
	if _, err := os.Stat(unified + "/cgroup.procs"); err != nil {
		return fmt.Errorf("the lab needs control groups: %w", err)
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("the lab needs overlayfs: %w", err)
	}
	if !strings.Contains(string(known), "\toverlay\n") {
		return errors.New("the lab needs overlayfs in the kernel")
	}
	// Namespaces and the mount in them are gone when the command ends.
	argv := []string{"--mount", "--net", "--pid", "--fork", "--propagation", "slave", "mount", "-t", "tmpfs", "none", "/mnt"}
	if out, err := exec.Command("unshare", argv...).CombinedOutput(); err != nil {
		return fmt.Errorf("the lab needs the right to make namespaces and to mount: %s", strings.TrimSpace(string(out)))
	}
	return nil
}
