package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const onLinux = true

// sigPowerOff is SIGRTMIN+3, which asks systemd to power off in order.
const sigPowerOff = syscall.Signal(34 + 3)

// tryLock takes the lock of an open file or returns errLocked.
func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

func mount(source, target, kind, options string) error {
	if err := unix.Mount(source, target, kind, 0, options); err != nil {
		return fmt.Errorf("mount %s on %s: %w", kind, target, err)
	}
	return nil
}

func bindMount(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s on %s: %w", source, target, err)
	}
	return nil
}

// shareMount makes what is mounted and unmounted below target later on appear
// in copies of our mount namespace, too.
func shareMount(target string) error {
	if err := unix.Mount("", target, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share mount %s: %w", target, err)
	}
	return nil
}

func unmount(target string) error {
	if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}

func detach(target string) error {
	if err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach %s: %w", target, err)
	}
	return nil
}

// shutDown makes the ext4 file system at dir refuse everything from now on and
// forget what it had not yet written, like a disk without power.
func shutDown(dir string) error {
	const (
		ext4IOCShutdown      = 0x8004587d // _IOR('X', 125, __u32), fs/ext4/ext4.h
		ext4GoingNoLogFlush  = uint32(2)
		ext4IOCShutdownError = "shut down the file system at %s: %w"
	)
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf(ext4IOCShutdownError, dir, err)
	}
	defer f.Close()
	flags := ext4GoingNoLogFlush
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ext4IOCShutdown, uintptr(unsafe.Pointer(&flags)))
	if errno != 0 {
		return fmt.Errorf(ext4IOCShutdownError, dir, errno)
	}
	return nil
}

// inGroup makes cmd start as a member of the open control group, out of reach
// of the terminal's signals.
func inGroup(cmd *exec.Cmd, group *os.File) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
}

// errNoDevice is what a control group answers that is being removed.
var errNoDevice error = unix.ENODEV

// mergeAttr adds to a what inNewNetwork has set in b.
func mergeAttr(a, b *syscall.SysProcAttr) {
	if b != nil {
		a.Cloneflags |= b.Cloneflags
		a.Chroot = b.Chroot
		a.Pdeathsig = b.Pdeathsig
	}
}

// inNewNetwork makes cmd start in a network namespace of its own below root.
func inNewNetwork(cmd *exec.Cmd, root string) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Chroot: root}
}

// tied makes the kernel kill cmd when the thread that started it ends.
func tied(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}

// ownGroup makes a cancelled cmd take its children along.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// withNetwork runs f on a thread that is in the network namespace of the file.
// Goroutines that f starts are not.
func withNetwork(path string, f func() error) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer ns.Close()
	return elsewhere(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", path, err)
		}
		return f()
	})
}

// makeNetwork makes a network namespace that lives as long as it is mounted at
// path.
func makeNetwork(path string) error {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	return elsewhere(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		return bindMount(threadNetwork, path)
	})
}

// threadNetwork is the network namespace of the calling thread.
const threadNetwork = "/proc/thread-self/ns/net"

// elsewhere runs f, which changes the network namespace of its thread, and
// brings the thread back. A thread that cannot come back is used for nothing
// else.
func elsewhere(f func() error) error {
	home, err := os.Open(threadNetwork)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer home.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := f()
		back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
		if back == nil {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, back)
	}()
	return <-done
}

// makeDevices fills dir with the devices that a daemon expects.
func makeDevices(dir string) error {
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := unix.Mknod(dir+"/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			return fmt.Errorf("device %s: %w", name, err)
		}
		// The mode above is cut by this process's umask.
		if err := os.Chmod(dir+"/"+name, 0o666); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir+"/pts", 0o755); err != nil {
		return err
	}
	if err := mount("devpts", dir+"/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5"); err != nil {
		return err
	}
	return os.Symlink("pts/ptmx", dir+"/ptmx")
}

// changed is the change time of a file in nanoseconds since 1970.
func changed(st *unix.Stat_t) int64 { return unix.TimespecToNsec(st.Ctim) }
