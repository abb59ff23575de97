package canary

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/sshd"
)

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestPath(t *testing.T) {
	for _, tt := range []struct{ name, from, to, wantFrom, wantTo string }{
		{"both are known", "203.0.113.9", "198.51.100.7", "203.0.113.9", "198.51.100.7:22"},
		{"IPv6", "2001:db8::9", "2001:db8::7", "2001:db8::9", "[2001:db8::7]:22"},
		{"IPv4 in IPv6", "::ffff:203.0.113.9", "::ffff:198.51.100.7", "203.0.113.9", "198.51.100.7:22"},
		{"neither is known", "", "", "", "127.0.0.1:22"},
		{"an address of one link", "fe80::9", "fe80::7", "", "127.0.0.1:22"},
		{"a server that is reached by translation between families", "203.0.113.9", "2001:db8::7", "", "127.0.0.1:22"},
	} {
		from, to := Path{From: addr(tt.from), To: addr(tt.to)}.ends(22)
		if from != addr(tt.wantFrom) || to.String() != tt.wantTo {
			t.Errorf("%s: from %v to %v, want %q to %s", tt.name, from, to, tt.wantFrom, tt.wantTo)
		}
	}
}

func TestAddresses(t *testing.T) {
	own := []netip.Addr{addr("127.0.0.1"), addr("::1"), addr("198.51.100.7"), addr("fe80::7"), addr("2001:db8::7")}
	got := Addresses(Path{From: addr("::ffff:203.0.113.9"), To: addr("198.51.100.7")}, own)
	if want := []netip.Addr{addr("198.51.100.7"), addr("2001:db8::7"), addr("203.0.113.9")}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := Addresses(Path{}, nil); len(got) != 0 {
		t.Errorf("%v for a path that is not known", got)
	}
}

func TestListening(t *testing.T) {
	if options, err := listening(sshd.Daemon{}, 22); err != nil || options != nil {
		t.Errorf("without a socket: %v, %v", options, err)
	}
	socket := sshd.Daemon{SocketActive: true, Listen: []string{"0.0.0.0:22", "[::]:22"}}
	options, err := listening(socket, 22)
	if err != nil || !slices.Contains(options, "ListenAddress=[::]:22") {
		t.Errorf("behind a socket: %v, %v", options, err)
	}
	if _, err := listening(socket, 2222); err == nil {
		t.Error("a socket that listens on another port will do")
	}
}

// A World in which sshd logs and whose port is open or closed.
type world struct {
	server.World
	log  string
	open bool
}

func (w world) Read(context.Context, string) (server.Entry, error) {
	if w.log == "" {
		return server.Entry{}, fs.ErrNotExist
	}
	return server.Entry{Content: w.log}, nil
}

func (w world) Dial(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
	if !w.open {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	far.Close()
	return near, nil
}

func TestConnect(t *testing.T) {
	to := netip.MustParseAddrPort("198.51.100.7:22")
	broken := &server.CommandError{Argv: []string{program}, Exit: 255, Output: "Bad configuration option: Prot"}
	for _, tt := range []struct {
		name  string
		world world
		ended error
		want  []string
	}{
		{"it listens", world{open: true}, nil, nil},
		{"it listens elsewhere", world{log: "Server listening on 0.0.0.0 port 2222.\r\n"}, nil, []string{"nothing listens on 198.51.100.7:22", "port 2222"}},
		{"it says nothing", world{}, nil, []string{"nothing listens on 198.51.100.7:22"}},
		{"it does not start", world{log: "line 3\n"}, broken, []string{"sshd does not start", "line 3", "Bad configuration option"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &Daemon{world: tt.world, to: to, ended: make(chan struct{}), err: tt.ended}
				if tt.ended != nil {
					close(d.ended)
				}
				conn, err := d.Connect(t.Context())
				if (err == nil) != (tt.want == nil) {
					t.Fatalf("Connect: %v", err)
				}
				if err == nil {
					conn.Close()
				}
				for _, w := range tt.want {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%v does not say %q", err, w)
					}
				}
			})
		})
	}
	d := &Daemon{world: world{}, to: to, ended: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := d.Connect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("when nobody waits any more: %v", err)
	}
}

func TestLogIsBounded(t *testing.T) {
	d := &Daemon{world: world{log: strings.Repeat("x", 3*maxLog) + " the end\r\n"}}
	if log := d.Log(t.Context()); len(log) > maxLog+8 || !strings.HasSuffix(log, "the end") {
		t.Errorf("%d bytes that end with %q", len(log), log[len(log)-10:])
	}
}
