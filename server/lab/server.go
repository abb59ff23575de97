package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrOff means that the server is powered off.
var ErrOff = errors.New("server is off")

// ErrOn means that the server is running.
var ErrOn = errors.New("server is on")

// bootTime is how long a server may take from power on until sshd answers.
const bootTime = 90 * time.Second

// A Server is a disposable machine of a lab.
type Server struct {
	lab   *Lab
	name  string
	index int // from 1, its place in the lab

	mu    sync.Mutex
	relay *relay // see Delay; nil if there is none
}

// Name is the server's host name.
func (s *Server) Name() string { return s.name }

// Lab is the lab that the server is part of.
func (s *Server) Lab() *Lab { return s.lab }

// Addr4 is the server's IPv4 address in the public network.
func (s *Server) Addr4() netip.Addr { return s.lab.addr4(Public, s.number()) }

// Addr6 is the server's IPv6 address in the public network.
func (s *Server) Addr6() netip.Addr { return s.lab.addr6(Public, s.number()) }

// Private4 is the server's IPv4 address in the private network.
func (s *Server) Private4() netip.Addr { return s.lab.addr4(Private, s.number()) }

// Private6 is the server's IPv6 address in the private network.
func (s *Server) Private6() netip.Addr { return s.lab.addr6(Private, s.number()) }

// Root is the path of the server's root file system as this machine sees it. It
// is there while the server is on, and after a power off, too. What is mounted
// inside (/run, /proc, /tmp) is not seen. A symbolic link in it may point
// outside: do not follow any.
func (s *Server) Root() string { return filepath.Join(s.dir(), "root") }

// Console is the path of the file with all that the server has printed on its
// console since it was made.
func (s *Server) Console() string { return filepath.Join(s.dir(), "console.log") }

func (s *Server) number() int        { return firstServer + s.index - 1 }
func (s *Server) port() string       { return fmt.Sprintf("s%d", s.index) }
func (s *Server) dir() string        { return filepath.Join(s.lab.mounts(), "servers", s.name) }
func (s *Server) group() group       { return group(filepath.Join(s.lab.ID(), s.name)) }
func (s *Server) leaderFile() string { return filepath.Join(s.dir(), "leader.json") }

// machine is the name under which systemd-nspawn knows the server.
func (s *Server) machine() string { return machineName(s.lab.state.Number, s.name) }

func machineName(number int, name string) string { return fmt.Sprintf("hflab%d-%s", number, name) }

// Leader returns the process of this machine that is the server's init, or an
// error that is ErrOff.
func (s *Server) Leader() (int, error) {
	data, err := os.ReadFile(s.leaderFile())
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("server %s: %w", s.name, ErrOff)
	}
	if err != nil {
		return 0, fmt.Errorf("server %s: %w", s.name, err)
	}
	var p process
	if err := json.Unmarshal(data, &p); err != nil {
		return 0, fmt.Errorf("server %s: leader.json: %w", s.name, err)
	}
	if !p.alive() {
		return 0, fmt.Errorf("server %s: %w", s.name, ErrOff)
	}
	return p.PID, nil
}

// Running tells whether the server is on.
func (s *Server) Running() bool {
	_, err := s.Leader()
	return err == nil
}

// Boot switches the server on and returns when its sshd answers and its boot
// has come to an end, well or not. It returns an error that is ErrOn if it is
// on already.
func (s *Server) Boot(ctx context.Context) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	return s.Ready(ctx)
}

// Ready waits until sshd answers on the public IPv4 address and systemd has no
// job left. It asks from inside: a firewall may keep this machine out.
func (s *Server) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	leader, err := s.Leader()
	if err != nil {
		return err
	}
	err = withNetwork(fmt.Sprintf("/proc/%d/ns/net", leader), func() error { return waitBanner(ctx, s.Addr4()) })
	if err != nil {
		return fmt.Errorf("server %s: %w; its console says: %s", s.name, err, s.lastWords())
	}
	// A server with a failed unit says "degraded" with exit status 1; it is up.
	_, err = s.Exec(ctx, nil, "systemctl", "is-system-running", "--wait")
	var no *CommandError
	if err != nil && !errors.As(err, &no) {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	return nil
}

// Start switches the server on and returns when its init is running and its
// networks are plugged in; see [Server.Ready].
func (s *Server) Start(ctx context.Context) error {
	if s.Running() {
		return fmt.Errorf("server %s: %w", s.name, ErrOn)
	}
	if err := s.cleared(ctx); err != nil {
		return err
	}
	if err := s.attach(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	console, err := os.OpenFile(s.Console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	defer console.Close()
	cmd := exec.Command("systemd-nspawn", "--quiet", "--directory="+s.Root(), "--boot",
		"--register=no", "--keep-unit", "--machine="+s.machine(), "--hostname="+s.name,
		"--private-network", "--resolv-conf=off", "--timezone=off", "--link-journal=no")
	// Debian 13 needs the unified hierarchy, also where the machine has the old.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.Stdout, cmd.Stderr = console, console
	ended, err := s.group().start(cmd)
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	var pid int
	for pid == 0 {
		if pid, err = s.group().initOf(); err != nil {
			return fmt.Errorf("server %s: %w", s.name, err)
		}
		select {
		case <-ended:
			return fmt.Errorf("server %s: systemd-nspawn ended while it started: %s", s.name, s.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("server %s: starting init: %w", s.name, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
	leader, err := processOf(pid)
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	err = s.lab.plug(ctx, fmt.Sprint(pid), inProcess(pid), s.port(), s.number(), Public, Private)
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	data, err := json.Marshal(leader)
	if err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	return replaceFile(s.leaderFile(), data)
}

// lastWords is the end of what the console printed.
func (s *Server) lastWords() string {
	data, err := os.ReadFile(s.Console())
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q", data[max(0, len(data)-500):])
}

// PowerOff shuts the server down in order, as systemctl poweroff does. One that
// has not ended after 60 s is cut off, and an error says so.
func (s *Server) PowerOff(ctx context.Context) error {
	pid, err := s.Leader()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, sigPowerOff); err != nil {
		return fmt.Errorf("server %s: power off: %w", s.name, err)
	}
	orderly, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	late := s.group().wait(orderly)
	if late != nil {
		late = fmt.Errorf("server %s: it did not power off and was cut off: %w", s.name, late)
	}
	return errors.Join(late, s.cleared(context.WithoutCancel(ctx)))
}

// WaitOff returns when the server has powered itself off (or has rebooted,
// which in a lab is the same).
func (s *Server) WaitOff(ctx context.Context) error {
	for s.Running() {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("server %s: waiting until it is off: %w", s.name, err)
		}
	}
	return nil
}

// PowerCut takes the server's power away. With the Disk layer, writes that were
// not synced are lost, as far as ext4 had not got round to them; with Directory
// everything written stays. It may be called on a server that is off.
func (s *Server) PowerCut(ctx context.Context) error {
	if s.lab.state.Layer == Disk {
		on, err := mountedAt(s.layer())
		if err != nil {
			return fmt.Errorf("server %s: %w", s.name, err)
		}
		if on {
			if err := shutDown(s.layer()); err != nil {
				return fmt.Errorf("server %s: %w", s.name, err)
			}
		}
	}
	if err := s.cleared(ctx); err != nil {
		return err
	}
	if s.lab.state.Layer == Disk {
		// The file system stays dead until it is mounted again.
		return s.detach(ctx)
	}
	return nil
}

// Reboot powers the server off in order and boots it again.
func (s *Server) Reboot(ctx context.Context) error {
	if err := s.PowerOff(ctx); err != nil {
		return err
	}
	return s.Boot(ctx)
}

// Reset makes the server new: it is cut off, loses all its changes, and boots
// as it did when its lab was made, with other host keys. The lab's KnownHosts
// file is written anew.
func (s *Server) Reset(ctx context.Context) error {
	if err := s.cleared(ctx); err != nil {
		return err
	}
	if err := s.detach(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(s.dir()); err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	if err := s.install(ctx); err != nil {
		return err
	}
	if err := s.Boot(ctx); err != nil {
		return err
	}
	return s.lab.writeKnownHosts()
}

// cleared ends every process of the server and removes what only a running one
// has.
func (s *Server) cleared(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.group().kill(ctx); err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	if err := s.lab.unplug(ctx, s.port()); err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	s.dropRelay()
	if err := forgetMachine(s.machine(), s.Root()); err != nil {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	err := os.Remove(s.leaderFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("server %s: %w", s.name, err)
	}
	return nil
}
