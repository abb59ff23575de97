//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-security/holdfast/server"
)

const (
	// worldArg is the hidden argument that makes our own program the inside of a
	// World.
	worldArg = "machine:world"

	// startLimit is how long the making of a World may take. It takes some
	// milliseconds; plain copies from a slow disk take longer.
	startLimit = 30 * time.Second

	// answerLimit is how long after the end of its context a request may take to
	// say how it ended: commands are given their grace.
	answerLimit = 2*grace + time.Second
)

// Options say how a World differs from the one that [Machine.Rehearse] lends.
type Options struct {
	// Network gives the World a network of its own, with nothing but a loopback
	// interface that is up, and a /proc that shows the World's processes alone.
	// A daemon can then listen on a port that is taken on the live machine, and
	// is reached by [World.Dial].
	Network bool
	// Addresses are put on the loopback interface besides its own: those of the
	// machine, which daemons are told to listen on, and those of clients, which
	// [World.Dial] calls from. Only with Network.
	Addresses []netip.Addr
}

// A World is a private copy of this machine, see the package comment. It
// implements server.World and may be used by several goroutines.
type World struct {
	live *Machine
	pipe *pipe
	conn *net.UnixConn
	fds  *net.UnixConn // brings connections out
	// network says that it has a network of its own.
	network bool
	// filtered says that it was given packet filters of its own.
	filtered atomic.Bool

	dialing sync.Mutex

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan response
	broken  error // why nothing can be asked any more

	gone   chan struct{} // closed when the child has been reaped
	pid    int
	kill   func()
	end    error // of the child, after gone
	stderr transcript
}

var _ server.World = (*World)(nil)

// Rehearse returns a private copy of this machine as it is now; see
// server.Rehearser and the package comment. It takes root and some milliseconds.
func (m *Machine) Rehearse(ctx context.Context) (server.World, error) {
	w, err := m.Enter(ctx, Options{})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Enter is Rehearse with options. The context is for the making alone.
func (m *Machine) Enter(ctx context.Context, o Options) (*World, error) {
	return m.enter(ctx, entering{Options: o})
}

func (m *Machine) enter(ctx context.Context, how entering) (*World, error) {
	if len(os.Args) > 1 && os.Args[1] == worldArg {
		return nil, errors.New("a World cannot lend a World; main must call machine.ServeWorld first")
	}
	var err error
	if how.MountNS, err = os.Readlink("/proc/self/ns/mnt"); err != nil {
		return nil, fmt.Errorf("making a private copy of the machine: %w", err)
	}
	w, err := m.start(how.Options.Network)
	if err != nil {
		return nil, fmt.Errorf("making a private copy of the machine: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if _, err := w.ask(ctx, request{Op: opEnter, Enter: how}); err != nil {
		w.Close()
		return nil, fmt.Errorf("making a private copy of the machine: %w", err)
	}
	return w, nil
}

// start starts the child in its namespaces.
func (m *Machine) start(network bool) (*World, error) {
	conn, inner, err := socketpair(unix.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	defer inner.Close()
	fds, innerFDs, err := socketpair(unix.SOCK_SEQPACKET)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer innerFDs.Close()

	w := &World{
		live: m, conn: conn, fds: fds, pipe: newPipe(conn), network: network,
		waiting: map[uint64]chan response{}, gone: make(chan struct{}),
		stderr: transcript{max: maxTranscript},
	}
	// Our own program, even if its file was replaced or deleted meanwhile.
	cmd := exec.Command("/proc/self/exe", worldArg)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + searchPath, "LC_ALL=C", "HOME=/root"}
	cmd.Stderr = &w.stderr
	cmd.WaitDelay = grace
	cmd.ExtraFiles = []*os.File{inner, innerFDs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// Ctrl-C at a terminal is for the parent, which then closes the World.
		Setsid:     true,
		Pdeathsig:  syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
	}
	if network {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNET
	}
	w.kill = func() { cmd.Process.Kill() }
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread that started the child ends, so that
		// thread is kept until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		w.end = cmd.Wait()
		close(w.gone)
	}()
	if err := <-started; err != nil {
		conn.Close()
		fds.Close()
		if errors.Is(err, syscall.EPERM) {
			return nil, fmt.Errorf("this process may not make namespaces: %w", err)
		}
		return nil, err
	}
	w.pid = cmd.Process.Pid
	go w.receive()
	return w, nil
}

// receive hands out responses until the child is gone.
func (w *World) receive() {
	for {
		var r response
		err := w.pipe.receive(&r)
		w.mu.Lock()
		if err != nil {
			w.broken = errors.New("the private copy of the machine has ended")
			for _, c := range w.waiting {
				close(c)
			}
			w.waiting = nil
			w.mu.Unlock()
			return
		}
		if c, ok := w.waiting[r.ID]; ok {
			c <- r
			delete(w.waiting, r.ID)
		}
		w.mu.Unlock()
	}
}

// ask sends a request and waits for its answer. When ctx ends the World is told
// so, and its answer is still waited for, because it says what has happened.
func (w *World) ask(ctx context.Context, r request) (response, error) {
	if ctx.Err() != nil {
		return response{}, context.Cause(ctx)
	}
	answer := make(chan response, 1)
	w.mu.Lock()
	if w.broken != nil {
		w.mu.Unlock()
		return response{}, w.broken
	}
	w.last++
	r.ID = w.last
	w.waiting[r.ID] = answer
	w.mu.Unlock()

	if err := w.pipe.send(r); err != nil {
		w.forget(r.ID)
		return response{}, fmt.Errorf("asking the private copy of the machine: %w", err)
	}
	var got response
	var ok bool
	select {
	case got, ok = <-answer:
	case <-ctx.Done():
		w.pipe.send(request{ID: r.ID, Op: opCancel}) // if it is lost, the limit below holds
		late := time.NewTimer(answerLimit)
		defer late.Stop()
		select {
		case got, ok = <-answer:
		case <-late.C:
			w.forget(r.ID)
			return response{}, context.Cause(ctx)
		}
	}
	if !ok {
		return response{}, w.why()
	}
	return got, caused(ctx, got.Err.err())
}

// caused puts the reason why ctx ended in the place of the inside's, which only
// knows that it was told to stop.
func caused(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	if c := (*server.CommandError)(nil); errors.As(err, &c) {
		c.Err = context.Cause(ctx)
		return c
	}
	return context.Cause(ctx)
}

func (w *World) forget(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting, id)
}

// why says how the child has ended.
func (w *World) why() error {
	select {
	case <-w.gone:
	case <-time.After(grace):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if said := w.stderr.String(); said != "" {
		return fmt.Errorf("%w: %s", w.broken, said)
	}
	return w.broken
}

// Output runs a command that changes nothing; see server.Reader. Questions to
// the managers of the live machine are put to it, because the World has none of
// its own; and so are those about packet filters, until it has got some.
func (w *World) Output(ctx context.Context, argv ...string) (string, error) {
	if asksManager(argv) || w.network && !w.filtered.Load() && asksFilter(argv) {
		return w.live.Output(ctx, argv...)
	}
	if err := w.refused(argv, false); err != nil {
		return "", err
	}
	r, err := w.ask(ctx, request{Op: opOutput, Argv: argv})
	return r.Text, asCommandError(argv, err)
}

// Run runs a command that changes the copy; see server.Host and server.World.
func (w *World) Run(ctx context.Context, stdin string, argv ...string) error {
	if err := w.refused(argv, true); err != nil {
		return err
	}
	if program, _ := programOf(argv); program == "nft" {
		w.filtered.Store(true)
	}
	_, err := w.ask(ctx, request{Op: opRun, Argv: argv, Stdin: stdin})
	return asCommandError(argv, err)
}

// asCommandError makes an error of the way to the World one of the command.
func asCommandError(argv []string, err error) error {
	if c := (*server.CommandError)(nil); err == nil || errors.As(err, &c) {
		return err
	}
	return &server.CommandError{Argv: argv, Exit: -1, Err: err}
}

// Read returns what is at path; see server.Reader.
func (w *World) Read(ctx context.Context, path string) (server.Entry, error) {
	r, err := w.ask(ctx, request{Op: opRead, Path: path})
	return r.Entry, err
}

// Glob returns the paths that match pattern; see server.Reader.
func (w *World) Glob(ctx context.Context, pattern string) ([]string, error) {
	r, err := w.ask(ctx, request{Op: opGlob, Path: pattern})
	return r.Paths, err
}

// Write puts e at path; see server.Host.
func (w *World) Write(ctx context.Context, path string, e server.Entry) error {
	_, err := w.ask(ctx, request{Op: opWrite, Path: path, Entry: e})
	return err
}

// Remove deletes what is at path; see server.Host.
func (w *World) Remove(ctx context.Context, path string) error {
	_, err := w.ask(ctx, request{Op: opRemove, Path: path})
	return err
}

// Close ends every process of the World and throws the copy away; see
// server.World.
func (w *World) Close() error {
	w.conn.Close()
	w.fds.Close()
	select {
	case <-w.gone:
	case <-time.After(2 * grace):
		w.kill()
		<-w.gone
	}
	return nil
}
