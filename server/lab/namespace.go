package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A Namespace is a bare client on the networks of a lab: a stranger in the
// public one, or somebody who has got into the private one. It shares
// everything with this machine but the network.
type Namespace struct {
	lab      *Lab
	name     string
	number   int
	networks []Network
}

// Namespace makes a client with this name, a short host name, on one or both
// networks. It lives until it is closed or its lab goes down.
func (l *Lab) Namespace(ctx context.Context, name string, networks ...Network) (*Namespace, error) {
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("namespace name %q is not a short host name", name)
	}
	unlock, err := lock(ctx, filepath.Join(l.dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	defer unlock()
	dir := filepath.Join(l.mounts(), "namespaces")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	taken := map[int]bool{}
	for _, e := range entries {
		number, other, _ := strings.Cut(e.Name(), "-")
		if other == name {
			return nil, fmt.Errorf("namespace %s: %w", name, os.ErrExist)
		}
		if i, err := strconv.Atoi(number); err == nil {
			taken[i] = true
		}
	}
	ns := &Namespace{lab: l, name: name, number: firstNamespace, networks: networks}
	for taken[ns.number] {
		ns.number++
	}
	if ns.number >= firstNamespace+maxNamespaces {
		return nil, fmt.Errorf("namespace %s: the lab has %d already", name, maxNamespaces)
	}
	if err := makeNetwork(ns.path()); err != nil {
		return nil, errors.Join(fmt.Errorf("namespace %s: %w", name, err), os.Remove(ns.path()))
	}
	if err := l.plug(ctx, ns.path(), inFile(ns.path()), ns.port(), ns.number, networks...); err != nil {
		return nil, errors.Join(fmt.Errorf("namespace %s: %w", name, err), ns.Close(context.WithoutCancel(ctx)))
	}
	return ns, nil
}

func (n *Namespace) path() string {
	return filepath.Join(n.lab.mounts(), "namespaces", fmt.Sprintf("%d-%s", n.number, n.name))
}
func (n *Namespace) port() string { return fmt.Sprintf("n%d", n.number) }
func (n *Namespace) group() group { return group(filepath.Join(n.lab.ID(), "ns."+n.name)) }

// Addr4 is the namespace's IPv4 address in a network that it is on.
func (n *Namespace) Addr4(on Network) netip.Addr { return n.lab.addr4(on, n.number) }

// Addr6 is the namespace's IPv6 address in a network that it is on.
func (n *Namespace) Addr6(on Network) netip.Addr { return n.lab.addr6(on, n.number) }

// Do runs f on a thread whose network is the namespace's. Goroutines that f
// starts are elsewhere, so f opens sockets itself.
func (n *Namespace) Do(f func() error) error { return withNetwork(n.path(), f) }

// Dial connects from the namespace to an address and port. It looks no name up.
func (n *Namespace) Dial(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	var conn net.Conn
	err := n.Do(func() (err error) {
		// One address and no other family to try: the dialer stays on this thread.
		d := net.Dialer{FallbackDelay: -1}
		conn, err = d.DialContext(ctx, network, addr.String())
		return err
	})
	return conn, err
}

// Command returns a command of this machine that runs in the namespace's
// network. Processes that it leaves behind are not ended by Close.
func (n *Namespace) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + n.path(), "--"}, argv...)...)
}

// Start starts argv in the namespace's network in the background, with the file
// as its output. It ends with the namespace.
func (n *Namespace) Start(output *os.File, argv ...string) error {
	cmd := n.Command(context.Background(), argv...)
	cmd.Stdout, cmd.Stderr = output, output
	_, err := n.group().start(cmd)
	return err
}

// Close removes the namespace and ends what Start has started.
func (n *Namespace) Close(ctx context.Context) error {
	if err := n.group().kill(ctx); err != nil {
		return fmt.Errorf("namespace %s: %w", n.name, err)
	}
	if err := n.lab.unplug(ctx, n.port()); err != nil {
		return fmt.Errorf("namespace %s: %w", n.name, err)
	}
	if err := unmountSoon(ctx, n.path()); err != nil {
		return fmt.Errorf("namespace %s: %w", n.name, err)
	}
	if err := os.Remove(n.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("namespace %s: %w", n.name, err)
	}
	return nil
}
