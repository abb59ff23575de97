//go:build linux

package machine

import (
	"fmt"
	"net/netip"
	"os/exec"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are the system calls that fail with EPERM in a World, because no
// namespace keeps apart what they change.
func denied() []uint32 {
	return []uint32{
		unix.SYS_REBOOT, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
		unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
		unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
		unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	}
}

// confine takes from this process, and all it will start, what could change the
// machine past the mounts.
//
// The kernel also answers as one without auditing: socket(AF_NETLINK, …,
// NETLINK_AUDIT) fails with EAFNOSUPPORT. Then logins and password changes in a
// World are not written to the machine's audit log, and the programs that would
// write there go on. systemd-nspawn does the same.
//
// The filter does not look at the architecture: it guards against mistakes, and
// a 32-bit program on a 64-bit kernel gets past it.
func confine() error {
	const (
		call   = 0  // offset of seccomp_data.nr
		family = 16 // of the low half of args[0] on a little-endian machine
		proto  = 32 // of args[2]
	)
	filter := []unix.SockFilter{
		load(call), unless(unix.SYS_SOCKET, 5),
		load(family), unless(unix.AF_NETLINK, 3),
		load(proto), unless(unix.NETLINK_AUDIT, 1),
		fail(unix.EAFNOSUPPORT),
		load(call),
	}
	for _, number := range denied() {
		filter = append(filter, unless(number, 1), fail(unix.EPERM))
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("filtering system calls: %w", errno)
	}
	return nil
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func unless(value uint32, skip uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skip}
}

func fail(errno unix.Errno) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)}
}

// ownNetwork makes the World's own network usable and shows its own processes.
func ownNetwork(addresses []netip.Addr) error {
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := lockProc(); err != nil {
		return err
	}
	if err := ip("link", "set", "lo", "up"); err != nil {
		return err
	}
	for _, a := range addresses {
		if a.IsLoopback() {
			continue // there already
		}
		args := []string{"address", "add", netip.PrefixFrom(a, a.BitLen()).String(), "dev", "lo"}
		if a.Is6() {
			args = append(args, "nodad") // usable at once
		}
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

func ip(args ...string) error {
	path, err := lookPath("ip")
	if err != nil {
		return fmt.Errorf("ip (package iproute2): %w", err)
	}
	cmd := exec.Command(path, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %q: %w: %s", args, err, out)
	}
	return nil
}
