package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// diskSize is what a server of the Disk layer can hold. The file is sparse.
const diskSize = 4 << 30

// layer is where upper and work directory of the server's overlay are.
func (s *Server) layer() string { return filepath.Join(s.dir(), "layer") }
func (s *Server) disk() string  { return filepath.Join(s.dir(), "disk.img") }

// install makes the server's file system from the image and gives it a name, a
// root login and host keys of its own.
func (s *Server) install(ctx context.Context) error {
	for _, dir := range []string{s.layer(), s.Root()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	if s.lab.state.Layer == Disk {
		if err := os.WriteFile(s.disk(), nil, 0o600); err != nil {
			return fmt.Errorf("install: %w", err)
		}
		if err := os.Truncate(s.disk(), diskSize); err != nil {
			return fmt.Errorf("install: %w", err)
		}
		if _, err := run(ctx, nil, "mkfs.ext4", "-q", s.disk()); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	if err := s.attach(ctx); err != nil {
		return err
	}
	return s.furnish(ctx)
}

// attach mounts the server's file system, if it is not mounted.
func (s *Server) attach(ctx context.Context) error {
	if s.lab.state.Layer == Disk {
		on, err := mountedAt(s.layer())
		if err != nil {
			return err
		}
		if !on {
			if _, err := run(ctx, nil, "mount", "-o", "loop", s.disk(), s.layer()); err != nil {
				return err
			}
		}
	}
	on, err := mountedAt(s.Root())
	if on || err != nil {
		return err
	}
	upper, work := filepath.Join(s.layer(), "upper"), filepath.Join(s.layer(), "work")
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("layer: %w", err)
		}
	}
	return mount("overlay", s.Root(), "overlay",
		fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", imageRoot(s.lab.state.Image), upper, work))
}

// detach unmounts the server's file system. Nothing of the server may run.
func (s *Server) detach(ctx context.Context) error {
	for _, path := range []string{s.Root(), s.layer()} {
		if err := unmountSoon(ctx, path); err != nil {
			return fmt.Errorf("server %s: %w", s.name, err)
		}
	}
	// A process of this machine that has just copied all mounts may still hold
	// the file system, and mounting it again would give the same dead one.
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		loops, err := loopsOf(s.disk())
		if err != nil || len(loops) == 0 {
			return err
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return fmt.Errorf("server %s: a process outside of the lab holds its file system: %w", s.name, err)
		}
	}
}

// mountedAt tells whether something is mounted at exactly this path.
func mountedAt(path string) (bool, error) {
	points, err := mountPoints()
	for _, p := range points {
		if p.path == path {
			return true, nil
		}
	}
	return false, err
}

// unmountSoon unmounts path, if it is mounted, and gives the last user of its
// files up to 5 s to let go.
func unmountSoon(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		on, err := mountedAt(path)
		if !on || err != nil {
			return err
		}
		err = unmount(path)
		if err == nil {
			return nil
		}
		if e := pause(ctx, 20*time.Millisecond); e != nil {
			return err
		}
	}
}

// unmountAll unmounts everything at dir and below, the last mounted first. What
// somebody still uses is taken out of sight and ends with its last user.
func unmountAll(ctx context.Context, dir string) error {
	inside := func(p mountPoint) bool { return p.path == dir || strings.HasPrefix(p.path, dir+"/") }
	points, err := mountPoints()
	if err != nil {
		return err
	}
	for _, p := range slices.Backward(points) {
		if inside(p) && unmountSoon(ctx, p.path) != nil {
			if err := detach(p.path); err != nil {
				return err
			}
		}
	}
	points, err = mountPoints()
	if i := slices.IndexFunc(points, inside); i >= 0 {
		return fmt.Errorf("%s is still mounted", points[i].path)
	}
	return err
}

// loopsOf returns the loop devices whose file is path or lies below it.
func loopsOf(path string) ([]string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, fmt.Errorf("loop devices: %w", err)
	}
	var devices []string
	for _, file := range files {
		backing, err := os.ReadFile(file)
		if gone(err) != nil {
			return nil, fmt.Errorf("loop devices: %w", err)
		}
		name := strings.TrimSuffix(string(backing), "\n")
		if name == path || strings.HasPrefix(name, path+"/") {
			devices = append(devices, "/dev/"+strings.Split(file, "/")[3])
		}
	}
	return devices, nil
}

// freeLoops detaches loop devices whose file lies below dir. The kernel does it
// with the last unmount; a mount that was cut short leaves one behind.
func freeLoops(ctx context.Context, dir string) error {
	devices, err := loopsOf(dir)
	if err != nil {
		return err
	}
	for _, device := range devices {
		_, err := run(ctx, nil, "losetup", "--detach", device)
		if left, e := loopsOf(dir); e == nil && !slices.Contains(left, device) {
			continue // the kernel was faster
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetMachine removes what systemd-nspawn leaves behind when it is killed.
// root is where the machine's file system is or was.
func forgetMachine(name, root string) error {
	var st unix.Stat_t
	if unix.Stat(root, &st) == nil {
		path := fmt.Sprintf("/run/systemd/nspawn/locks/inode-%d:%d", st.Dev, st.Ino)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, sub := range []string{"propagate", "unix-export"} {
		path := filepath.Join("/run/systemd/nspawn", sub, name)
		on, err := mountedAt(path)
		if err != nil {
			return err
		}
		if on {
			if err := detach(path); err != nil {
				return err
			}
		}
		err = os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// remove takes the lab down. The caller holds its lock.
func (l *Lab) remove(ctx context.Context) error {
	err := group(l.ID()).kill(ctx)
	for _, s := range l.servers {
		s.dropRelay()
		err = errors.Join(err, forgetMachine(s.machine(), s.Root()))
	}
	err = errors.Join(err,
		deleteLink(ctx, deskLink(l.state.Number)),
		unmountAll(ctx, l.dir),
		freeLoops(ctx, l.dir))
	if err != nil {
		return fmt.Errorf("take down lab %s: %w", l.ID(), err)
	}
	release, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	defer release()
	// The state goes last, so that a removal cut short can be done again.
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("take down lab %s: %w", l.ID(), err)
	}
	for _, e := range entries {
		if e.Name() == "state.json" || e.Name() == "lock" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(l.dir, e.Name())); err != nil {
			return fmt.Errorf("take down lab %s: %w", l.ID(), err)
		}
	}
	if err := removeDrafts(); err != nil {
		return fmt.Errorf("take down lab %s: %w", l.ID(), err)
	}
	// Under this name nobody takes it for a lab.
	out := filepath.Join(stateDir, ".old-"+l.ID())
	if err := os.Rename(l.dir, out); err != nil {
		return fmt.Errorf("take down lab %s: %w", l.ID(), err)
	}
	if err := os.RemoveAll(out); err != nil {
		return fmt.Errorf("take down lab %s: %w", l.ID(), err)
	}
	return stopUnusedProxy(ctx)
}
