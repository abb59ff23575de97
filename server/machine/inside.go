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
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The descriptors that the parent leaves to the inside of a World.
const (
	pipeFD = 3
	fdsFD  = 4
)

// ServeWorld is the inside of a [World]. Every program that calls
// [Machine.Rehearse] calls it first, with os.Args, and returns at once if it
// reports true: then the process was one that Rehearse started, and the World
// has ended. Otherwise it does nothing.
func ServeWorld(args []string) bool {
	if len(args) != 2 || args[1] != worldArg {
		return false
	}
	if err := serveWorld(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return true
}

func serveWorld() error {
	// Rehearse starts it as the first process of a namespace. A person who types
	// the argument must not end up with mounts in the live machine.
	if os.Getpid() != 1 {
		return errors.New("this is started by the program itself")
	}
	unix.CloseOnExec(pipeFD)
	unix.CloseOnExec(fdsFD)
	syscall.Umask(0o022)
	conn, err := asConn(pipeFD)
	if err != nil {
		return fmt.Errorf("the parent's end: %w", err)
	}
	fds, err := asConn(fdsFD)
	if err != nil {
		return fmt.Errorf("the parent's end: %w", err)
	}
	in := &inside{machine: New(), pipe: newPipe(conn), fds: fds.(*net.UnixConn), running: map[uint64]context.CancelFunc{}}

	var first request
	if err := in.pipe.receive(&first); err != nil {
		return nil // the parent has given up
	}
	err = first.Enter.enter()
	if sent := in.pipe.send(response{ID: first.ID, Err: toWire(err)}); err != nil || sent != nil {
		return nil
	}
	for {
		var r request
		if err := in.pipe.receive(&r); err != nil {
			return nil // closed, or the parent is gone
		}
		in.take(r)
	}
}

// inside answers the requests of the parent.
type inside struct {
	machine *Machine
	pipe    *pipe
	fds     *net.UnixConn

	mu      sync.Mutex
	running map[uint64]context.CancelFunc
}

func (in *inside) take(r request) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if r.Op == opCancel {
		if cancel, ok := in.running[r.ID]; ok {
			cancel()
		}
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	in.running[r.ID] = cancel
	go func() {
		answer := in.answer(ctx, r)
		in.mu.Lock()
		delete(in.running, r.ID)
		in.mu.Unlock()
		cancel()
		if err := in.pipe.send(answer); err != nil {
			// The parent waits for an answer that cannot come.
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}()
}

func (in *inside) answer(ctx context.Context, r request) response {
	answer := response{ID: r.ID}
	var err error
	switch r.Op {
	case opOutput:
		answer.Text, err = in.machine.Output(ctx, r.Argv...)
	case opRun:
		err = in.machine.Run(ctx, r.Stdin, r.Argv...)
	case opRead:
		answer.Entry, err = in.machine.Read(ctx, r.Path)
	case opGlob:
		answer.Paths, err = in.machine.Glob(ctx, r.Path)
	case opWrite:
		err = in.machine.Write(ctx, r.Path, r.Entry)
	case opRemove:
		err = in.machine.Remove(ctx, r.Path)
	case opDial:
		err = in.dial(ctx, r)
	default:
		err = fmt.Errorf("a World cannot %q", r.Op)
	}
	answer.Err = toWire(err)
	return answer
}

// dial connects and sends the socket out.
func (in *inside) dial(ctx context.Context, r request) error {
	var d net.Dialer
	if r.From.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.From, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", r.To.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	id := binary.BigEndian.AppendUint64(nil, r.ID)
	var sent error
	err = raw.Control(func(fd uintptr) {
		_, _, sent = in.fds.WriteMsgUnix(id, unix.UnixRights(int(fd)), nil)
	})
	return errors.Join(err, sent)
}
