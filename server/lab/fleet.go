package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// fleetStart is how long all the daemons of a fleet may take to answer.
const fleetStart = time.Minute

// A Fleet is many cheap hosts: each has a network of its own and an sshd, and
// all share one file system without a systemd. Root's login is the lab's key.
type Fleet struct {
	lab   *Lab
	Addrs []netip.Addr // the IPv4 addresses of the hosts
}

// StartFleet starts a fleet of n hosts, 1 to 150, on the lab's public network
// and returns when every sshd answers. A lab has one fleet at a time. A fleet
// that fails to start is stopped.
func (l *Lab) StartFleet(ctx context.Context, n int) (*Fleet, error) {
	if n < 1 || n > maxFleet {
		return nil, fmt.Errorf("fleet: %d hosts are not 1 to %d", n, maxFleet)
	}
	f := &Fleet{lab: l}
	for i := range n {
		f.Addrs = append(f.Addrs, l.addr4(Public, firstFleet+i))
	}
	if err := os.Mkdir(f.dir(), 0o755); err != nil {
		return nil, fmt.Errorf("fleet: %w", err)
	}
	if err := f.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("fleet: %w", err), f.Stop(context.WithoutCancel(ctx)))
	}
	return f, nil
}

func (f *Fleet) dir() string  { return filepath.Join(f.lab.mounts(), "fleet") }
func (f *Fleet) root() string { return filepath.Join(f.dir(), "root") }
func (f *Fleet) group() group { return group(filepath.Join(f.lab.ID(), "fleet.hosts")) }

func (f *Fleet) start(ctx context.Context) error {
	if err := f.furnish(ctx); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(f.dir(), "sshd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	for i := range f.Addrs {
		// Under chroot the path is the one inside.
		cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-o", "PidFile=none", "-o", "MaxStartups=200", "-o", "UsePAM=no")
		cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		cmd.Stdout, cmd.Stderr = log, log
		inNewNetwork(cmd, f.root())
		if _, err := f.group().start(cmd); err != nil {
			return err
		}
		pid := cmd.Process.Pid
		err := f.lab.plug(ctx, strconv.Itoa(pid), inProcess(pid), fmt.Sprintf("f%d", i), firstFleet+i, Public)
		if err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, fleetStart)
	defer cancel()
	errs := make([]error, len(f.Addrs))
	var wg sync.WaitGroup
	for i, addr := range f.Addrs {
		wg.Go(func() { errs[i] = waitBanner(ctx, addr) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// furnish makes the file system that the hosts share.
func (f *Fleet) furnish(ctx context.Context) error {
	upper, work := filepath.Join(f.dir(), "upper"), filepath.Join(f.dir(), "work")
	for _, dir := range []string{upper, work, f.root()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	err := mount("overlay", f.root(), "overlay",
		fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", imageRoot(f.lab.state.Image), upper, work))
	if err != nil {
		return err
	}
	for _, dir := range []string{"run/sshd", "root/.ssh", "dev/pts"} {
		if err := os.MkdirAll(filepath.Join(f.root(), dir), 0o700); err != nil {
			return err
		}
	}
	key, err := os.ReadFile(f.lab.Key() + ".pub")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(f.root(), "root/.ssh/authorized_keys"), key, 0o600); err != nil {
		return err
	}
	if _, err := run(ctx, nil, "chroot", f.root(), "/usr/bin/ssh-keygen", "-A"); err != nil {
		return err
	}
	if err := mount("proc", filepath.Join(f.root(), "proc"), "proc", ""); err != nil {
		return err
	}
	// Devices of its own: the machine's /dev must not lie where a lab is removed.
	if err := mount("tmpfs", filepath.Join(f.root(), "dev"), "tmpfs", "mode=755,size=1m"); err != nil {
		return err
	}
	return makeDevices(filepath.Join(f.root(), "dev"))
}

// KnownHostKey is the path of the public host key that all hosts share.
func (f *Fleet) KnownHostKey() string {
	return filepath.Join(f.root(), "etc/ssh/ssh_host_ed25519_key.pub")
}

// Stop ends the hosts and removes what they had.
func (f *Fleet) Stop(ctx context.Context) error {
	err := f.group().kill(ctx)
	var ports []string
	for i := range f.Addrs {
		ports = append(ports, fmt.Sprintf("f%d", i))
	}
	if err = errors.Join(err, f.lab.unplug(ctx, ports...), unmountAll(ctx, f.dir())); err != nil {
		return fmt.Errorf("stop the fleet: %w", err)
	}
	if err := os.RemoveAll(f.dir()); err != nil {
		return fmt.Errorf("stop the fleet: %w", err)
	}
	return nil
}
