//go:build linux

package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// staging is where the tmpfs for changes lies while the World is made. It is
	// one of the places that begin empty, so it is free.
	staging = "/tmp"

	// maxChanges is how much a World can hold besides what the machine has, in
	// bytes; memory is used as it is filled.
	maxChanges = 256 << 20

	// maxCopy is how much is copied, in bytes, where overlays cannot be mounted.
	maxCopy = 64 << 20
)

// enter turns this process, alone in its namespaces, into the inside of a World.
func (e entering) enter() error {
	if ns, err := os.Readlink("/proc/self/ns/mnt"); err != nil || ns == e.MountNS {
		return errors.Join(errors.New("this process is not in a mount namespace of its own"), err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	v := view{copyOnly: e.CopyLimit > 0, budget: maxCopy}
	if v.copyOnly {
		v.budget = e.CopyLimit
	}
	if err := v.make(); err != nil {
		return err
	}
	if e.Options.Network {
		if err := ownNetwork(e.Options.Addresses); err != nil {
			return err
		}
	}
	return confine()
}

// A view is the file system of a World while it is made.
type view struct {
	copyOnly bool
	budget   int64 // how many bytes may still be copied
	layers   int
}

// An opened place is held by a descriptor, because the mount of one place hides
// what was below it.
type opened struct {
	place
	fd      int
	mounted []opened // file systems mounted below that are needed
}

func (o opened) source() string { return "/proc/self/fd/" + strconv.Itoa(o.fd) }

func (v *view) make() error {
	all, err := open()
	if err != nil {
		return err
	}
	defer func() {
		for _, o := range all {
			o.close()
		}
	}()
	if err := lockDown(); err != nil {
		return err
	}
	if err := unix.Mount("holdfast", staging, "tmpfs", 0, fmt.Sprintf("mode=0700,size=%d", maxChanges)); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	for _, o := range all {
		if o.empty {
			continue
		}
		if err := v.add(o); err != nil {
			return fmt.Errorf("making a copy of %s: %w", o.path, err)
		}
	}
	if err := unix.Unmount(staging, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("hiding the tmpfs: %w", err)
	}
	for _, o := range all {
		if o.empty {
			if err := empty(o.path); err != nil {
				return err
			}
		}
	}
	return mute()
}

func open() ([]opened, error) {
	wanted, err := present()
	if err != nil {
		return nil, err
	}
	table, err := mounts()
	if err != nil {
		return nil, err
	}
	var all []opened
	for _, p := range wanted {
		o := opened{place: p}
		if o.fd, err = unix.Open(p.path, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return nil, fmt.Errorf("opening %s: %w", p.path, err)
		}
		for _, m := range table {
			if !p.needs(m) {
				continue
			}
			fd, err := unix.Open(m.path, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, fmt.Errorf("opening %s: %w", m.path, err)
			}
			o.mounted = append(o.mounted, opened{place: place{path: m.path}, fd: fd})
		}
		all = append(all, o)
	}
	return all, nil
}

func (o opened) close() {
	unix.Close(o.fd)
	for _, m := range o.mounted {
		unix.Close(m.fd)
	}
}

// lockDown makes every mount read-only, but for /proc and /dev: programs there
// talk to terminals and to themselves.
func lockDown() error {
	if err := lockProc(); err != nil {
		return err
	}
	table, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range table {
		if within(m.path, "/proc") || within(m.path, "/dev") {
			continue
		}
		// EINVAL and ENOENT: hidden below another mount, so nobody gets there.
		err := readOnly(m.path)
		if err != nil && (m.path == "/" || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT)) {
			return fmt.Errorf("making %s read-only: %w", m.path, err)
		}
	}
	return nil
}

// lockProc makes the parts of /proc read-only that change the kernel.
func lockProc() error {
	for _, path := range []string{"/proc/sys", "/proc/sysrq-trigger"} {
		err := unix.Mount(path, path, "", unix.MS_BIND, "")
		if err == nil {
			err = readOnly(path)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("making %s read-only: %w", path, err)
		}
	}
	return nil
}

func readOnly(path string) error {
	return unix.MountSetattr(unix.AT_FDCWD, path, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// add gives the World its own copy of a place.
func (v *view) add(o opened) error {
	if err := v.overlay(o); err != nil {
		if failed := v.copyPlace(o); failed != nil {
			return fmt.Errorf("an overlay cannot be mounted (%w), and so: %w", err, failed)
		}
	}
	for _, m := range o.mounted {
		if err := v.addMounted(m); err != nil {
			return fmt.Errorf("%s, which is mounted there: %w", m.path, err)
		}
	}
	return nil
}

// addMounted does the same for what is mounted below a place. What cannot be
// had with an overlay is shown as it is, read-only.
func (v *view) addMounted(o opened) error {
	info, err := os.Stat(o.source())
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() { // containers have files mounted, such as /etc/hosts
		return copyFile(o.source(), o.path, info, &v.budget)
	}
	if err := v.overlay(o); err == nil {
		return nil
	}
	if err := unix.Mount(o.source(), o.path, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return readOnly(o.path)
}

func (v *view) overlay(o opened) error {
	if v.copyOnly {
		return errors.New("copies are wanted")
	}
	v.layers++
	upper := filepath.Join(staging, strconv.Itoa(v.layers))
	work := upper + "work"
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	// The upper directory is the one whose owner and mode are seen.
	if err := dressLike(o.source(), upper); err != nil {
		return err
	}
	options := "lowerdir=" + o.source() + ",upperdir=" + upper + ",workdir=" + work +
		",redirect_dir=on,index=off,metacopy=off,xino=off"
	return unix.Mount("holdfast", o.path, "overlay", 0, options)
}

// copyPlace copies a place, or its parts, where it can have no overlay.
func (v *view) copyPlace(o opened) error {
	parts := o.parts
	if parts == nil {
		parts = []place{{path: o.path}}
	}
	for _, p := range parts {
		fd, err := unix.Open(p.path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		source := opened{fd: fd}.source()
		err = empty(p.path)
		if err == nil && !p.empty {
			err = copyTree(source, p.path, &v.budget)
		}
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("copying %s: %w", p.path, err)
		}
	}
	return nil
}

// empty mounts a tmpfs that looks like the directory below it.
func empty(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Mount("holdfast", path, "tmpfs", 0, fmt.Sprintf("size=%d", maxChanges)); err != nil {
		return fmt.Errorf("mounting a tmpfs at %s: %w", path, err)
	}
	return dressLike(opened{fd: fd}.source(), path)
}

// mute takes away what leads to the live machine's managers and logs, and puts
// sockets in their place that swallow what is said.
func mute() error {
	if err := removeSockets("/run"); err != nil {
		return fmt.Errorf("cutting the connections to the live machine: %w", err)
	}
	const logs = "/run/systemd/journal"
	// sshd -t wants its directory, which is made when the live daemon starts.
	for _, dir := range []string{logs, "/run/sshd"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"dev-log", "socket"} {
		if err := swallow(filepath.Join(logs, name)); err != nil {
			return fmt.Errorf("muting the log: %w", err)
		}
	}
	if err := swallowStreams(filepath.Join(logs, "stdout")); err != nil {
		return fmt.Errorf("muting the log: %w", err)
	}
	info, err := os.Lstat("/dev/log")
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Type() == fs.ModeSymlink {
		return nil // a link leads into /run
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(logs+"/dev-log", "/dev/log", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("muting the log: %w", err)
	}
	return nil
}

// removeSockets removes the sockets below dir, but for those over which NSS asks
// for names and addresses.
func removeSockets(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case missing(err):
			return nil // gone since it was listed
		case err != nil:
			return err
		case path == "/run/systemd/userdb" || path == "/run/systemd/resolve":
			return fs.SkipDir
		case d.Type() == fs.ModeSocket:
			return os.Remove(path)
		}
		return nil
	})
}

// swallow reads and drops what is sent to a socket.
func swallow(path string) error {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 1)
		for {
			// Longer messages are cut. The journal's may be a descriptor only.
			if _, _, _, _, err := c.ReadMsgUnix(buf, nil); err != nil {
				return
			}
		}
	}()
	return nil
}

// swallowStreams is swallow for a socket that takes connections.
func swallowStreams(path string) error {
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(io.Discard, c) // ends with whoever sends
				c.Close()
			}()
		}
	}()
	return nil
}
