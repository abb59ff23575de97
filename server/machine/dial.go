//go:build linux

package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Dial connects over TCP to an address and port in the World's network, from an
// address in it; the zero from leaves the choice to the kernel. The connection
// ends with the World.
func (w *World) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	w.dialing.Lock()
	defer w.dialing.Unlock()
	r, err := w.ask(ctx, request{Op: opDial, From: from, To: to})
	if err != nil {
		return nil, err
	}
	var id [8]byte
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		// The socket was sent before the answer, so this does not wait.
		n, oobn, _, _, err := w.fds.ReadMsgUnix(id[:], oob)
		if err != nil {
			return nil, fmt.Errorf("taking over a connection: %w", err)
		}
		fd, err := sentFD(oob[:oobn])
		if err != nil {
			return nil, fmt.Errorf("taking over a connection: %w", err)
		}
		if n == len(id) && binary.BigEndian.Uint64(id[:]) == r.ID {
			return asConn(fd)
		}
		unix.Close(fd) // of an earlier call that was given up
	}
}

func sentFD(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	if len(messages) != 1 {
		return -1, errors.New("no socket came along")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fds[0])
	return fds[0], nil
}

// socketpair returns one end as a connection and the other as a file for a
// child.
func socketpair(kind int) (*net.UnixConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	inner := os.NewFile(uintptr(pair[1]), "world")
	conn, err := asConn(pair[0])
	if err != nil {
		inner.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), inner, nil
}

// asConn makes a connection of a socket and takes it over.
func asConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	return net.FileConn(f)
}
