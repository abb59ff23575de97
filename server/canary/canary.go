// Package canary runs the sshd that a plan would lead to, in the World in which
// the plan was tried, so that it can be logged in to before the live machine is
// touched.
//
// [Start] starts it with the command line that the machine's own would get, on
// the same port, from the World's own files; [Daemon.Connect] connects to it
// from the operator's address to the machine's own. What a real login shows and
// no file does (PAM modules, access rules, owners of key files, sudo) shows
// here, and whatever fails costs nothing. The World must have a network of its
// own with those addresses ([Addresses]).
//
// Its log goes into a file of the World ([Daemon.Log]). Nothing of it outlives
// the World. What systemd does around the service, such as sandboxing by
// drop-ins, is not tried, nor are the kernel's settings. A firewall that was loaded
// in the World is.
//
// If sshd does not start or nothing listens on the port, Connect fails and says
// what sshd has said: nobody could log in then.
package canary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/sshd"
)

const (
	program = "/usr/sbin/sshd"
	// logFile is in the World's own /tmp.
	logFile = "/tmp/holdfast-canary.log"
	// startLimit is how long sshd may take until it listens. It takes some
	// hundredths of a second; a desk waits no longer than ten seconds.
	startLimit = 7 * time.Second
	// maxLog is how much of the log is returned, in bytes.
	maxLog = 8 << 10
)

// A World is a World with a network of its own.
type World interface {
	server.World
	// Dial connects over TCP inside of the World; the zero from leaves the
	// choice to the kernel.
	Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// A Path is how the operator's connection reaches the machine.
type Path struct {
	// From is the operator's address; zero if it is not known.
	From netip.Addr
	// To is the machine's own address that the operator has reached; zero if it
	// is not known.
	To netip.Addr
}

// Addresses are what a World has to have for p: the machine's own addresses and
// those of p.
func Addresses(p Path, own []netip.Addr) []netip.Addr {
	var all []netip.Addr
	for _, a := range append(slices.Clone(own), p.From, p.To) {
		a = a.Unmap()
		// Addresses of one link need a link.
		if a.IsValid() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// A Daemon is an sshd in a World. It ends with the World.
type Daemon struct {
	world World
	from  netip.Addr
	to    netip.AddrPort
	ended chan struct{}
	err   error // once ended
}

// Start starts sshd in w as the machine's next start would. p and port are where
// [Daemon.Connect] connects.
func Start(ctx context.Context, w World, p Path, port int) (*Daemon, error) {
	look, err := sshd.Look(ctx, w)
	if err != nil {
		return nil, err
	}
	listen, err := listening(look, port)
	if err != nil {
		return nil, err
	}
	if err := w.Run(ctx, "", "install", "-d", "-m", "755", "/run/sshd"); err != nil {
		return nil, err
	}
	argv := append([]string{program}, look.Words...)
	if !slices.Contains(look.Words, "-D") {
		argv = append(argv, "-D")
	}
	argv = append(append(argv, listen...), "-E", logFile)
	d := &Daemon{world: w, ended: make(chan struct{})}
	d.from, d.to = p.ends(port)
	go func() {
		// The World ends it.
		d.err = w.Run(context.WithoutCancel(ctx), "", argv...)
		close(d.ended)
	}()
	return d, nil
}

// listening returns options for a daemon that is started on demand: it listens
// itself then, where systemd does.
func listening(look sshd.Daemon, port int) ([]string, error) {
	if !look.SocketActive {
		return nil, nil
	}
	for _, at := range look.Listen {
		if at[strings.LastIndexByte(at, ':')+1:] == strconv.Itoa(port) {
			p := strconv.Itoa(port)
			return []string{"-o", "Port=" + p, "-o", "ListenAddress=0.0.0.0:" + p, "-o", "ListenAddress=[::]:" + p}, nil
		}
	}
	return nil, fmt.Errorf("%s listens on %s and not on port %d", sshd.Socket, strings.Join(look.Listen, ", "), port)
}

// ends are the ends of a connection in the World.
func (p Path) ends(port int) (netip.Addr, netip.AddrPort) {
	from, to := p.From.Unmap(), p.To.Unmap()
	if from.IsLinkLocalUnicast() {
		from = netip.Addr{}
	}
	if !to.IsValid() || to.IsLinkLocalUnicast() || from.IsValid() && from.Is4() != to.Is4() {
		from, to = netip.Addr{}, netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return from, netip.AddrPortFrom(to, uint16(port))
}

// Client is the address that [Daemon.Connect] connects from; not valid if the
// kernel chooses one of the machine.
func (p Path) Client() netip.Addr {
	from, _ := p.ends(0)
	return from
}

// Connect connects to it, and waits some seconds until it listens.
func (d *Daemon) Connect(ctx context.Context) (net.Conn, error) {
	ctx, stop := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("nothing listens on %v", d.to))
	defer stop()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	elsewhere := 0 // how often it was seen to listen, and not here
	for try := 1; ; try++ {
		conn, err := d.world.Dial(ctx, d.from, d.to)
		if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
		if try%10 == 0 && strings.Contains(d.Log(ctx), "Server listening on ") {
			elsewhere++
		}
		if elsewhere > 1 {
			return nil, fmt.Errorf("nothing listens on %v: %s", d.to, d.Log(ctx))
		}
		select {
		case <-d.ended:
			return nil, d.dead(ctx)
		case <-ctx.Done():
			return nil, d.silent(ctx)
		case <-pause.C:
		}
	}
}

// dead says why sshd has ended.
func (d *Daemon) dead(ctx context.Context) error {
	words := d.Log(ctx)
	if failed := (*server.CommandError)(nil); errors.As(d.err, &failed) {
		if said := strings.TrimSpace(words + "\n" + failed.Output); said != "" {
			return fmt.Errorf("sshd does not start: %s", said)
		}
	}
	return fmt.Errorf("sshd does not start: %w", errors.Join(d.err, errors.New("it has ended")))
}

func (d *Daemon) silent(ctx context.Context) error {
	err := context.Cause(ctx)
	if words := d.Log(ctx); words != "" {
		return fmt.Errorf("%w: %s", err, words)
	}
	return err
}

// Log returns the end of what sshd has logged so far, one line each, empty if it
// cannot be had.
func (d *Daemon) Log(ctx context.Context) string {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), startLimit)
	defer stop()
	e, err := d.world.Read(ctx, logFile)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		return err.Error()
	}
	text := strings.ReplaceAll(e.Content, "\r", "")
	if over := len(text) - maxLog; over > 0 {
		text = "… " + strings.ToValidUTF8(text[over:], "")
	}
	return strings.TrimSpace(text)
}
