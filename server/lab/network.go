package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Host numbers in each of a lab's networks. The machine is 1 in the public one.
const (
	maxServers     = 50
	firstServer    = 11
	firstNamespace = 61
	maxNamespaces  = 40
	firstFleet     = 101
	maxFleet       = 150
)

// A Network is one of the two that a lab has.
type Network string

const (
	// Public is where the desk reaches the servers.
	Public Network = "public"
	// Private is where servers reach each other and nobody else does.
	Private Network = "private"
)

// addr4 is an address of host number host: 10.77.<lab>.<host> in the public
// network and 10.78.<lab>.<host> in the private one.
func (l *Lab) addr4(n Network, host int) netip.Addr {
	second := byte(77)
	if n == Private {
		second = 78
	}
	return netip.AddrFrom4([4]byte{10, second, byte(l.state.Number), byte(host)})
}

// addr6 is an address of host number host: fd77:<lab>::<host> and
// fd78:<lab>::<host>, with the numbers in decimal, so that they look alike.
func (l *Lab) addr6(n Network, host int) netip.Addr {
	first := "fd77"
	if n == Private {
		first = "fd78"
	}
	return netip.MustParseAddr(fmt.Sprintf("%s:%d::%d", first, l.state.Number, host))
}

// hardware is the address of host number host's interface. It is the same after
// every boot, so that neighbours who remember it are not wrong.
func (l *Lab) hardware(n Network, host int) net.HardwareAddr {
	v4 := l.addr4(n, host).As4()
	return append(net.HardwareAddr{0x02, 0x68}, v4[:]...) // 02: locally administered
}

// Desk returns the machine's own addresses in the lab's public network.
func (l *Lab) Desk() (v4, v6 netip.Addr) { return l.addr4(Public, 1), l.addr6(Public, 1) }

// deskLink is the interface of the machine in the lab with this number.
func deskLink(number int) string { return fmt.Sprintf("hflab%d", number) }

func linkExists(name string) bool {
	_, err := os.Lstat("/sys/class/net/" + name)
	return err == nil
}

// deleteLink removes an interface of the machine, and its other end with it.
func deleteLink(ctx context.Context, name string) error {
	if !linkExists(name) {
		return nil
	}
	_, err := run(ctx, nil, "ip", "link", "delete", "dev", name)
	if err != nil && linkExists(name) {
		return err
	}
	return nil
}

// switchPath is the network namespace that holds the bridges.
func (l *Lab) switchPath() string { return filepath.Join(l.mounts(), "switch") }

// network makes the switch, its two bridges and the machine's way in.
func (l *Lab) network(ctx context.Context) error {
	if err := makeNetwork(l.switchPath()); err != nil {
		return err
	}
	// A bridge is no host: it has no addresses, and the frames that it carries
	// are not the business of anybody's firewall.
	err := withNetwork(l.switchPath(), func() error {
		for key, value := range map[string]string{
			"ipv6/conf/all/disable_ipv6":      "1",
			"ipv6/conf/default/disable_ipv6":  "1",
			"bridge/bridge-nf-call-iptables":  "0",
			"bridge/bridge-nf-call-ip6tables": "0",
			"bridge/bridge-nf-call-arptables": "0",
		} {
			err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	desk := deskLink(l.state.Number)
	v4, v6 := l.Desk()
	err = l.ip(ctx, inSwitch,
		"link add public type bridge mcast_snooping 0",
		"link add private type bridge mcast_snooping 0",
		"link set public up",
		"link set private up",
	)
	if err != nil {
		return err
	}
	err = l.ip(ctx, onMachine, fmt.Sprintf("link add %s type veth peer name desk netns %s", desk, l.switchPath()))
	if err != nil {
		return err
	}
	if err := l.ip(ctx, inSwitch, "link set desk master public up"); err != nil {
		return err
	}
	// A machine that forwards for others does not for the lab.
	for _, key := range []string{"ipv4", "ipv6"} {
		err := os.WriteFile("/proc/sys/net/"+key+"/conf/"+desk+"/forwarding", []byte("0"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("machine: %w", err)
		}
	}
	return l.ip(ctx, onMachine,
		fmt.Sprintf("addr add %s/24 dev %s", v4, desk),
		fmt.Sprintf("addr add %s/64 dev %s nodad", v6, desk),
		fmt.Sprintf("link set %s up", desk),
	)
}

// A place is where ip(8) works: nsenter's arguments, nil for the machine.
type place func(*Lab) []string

func onMachine(*Lab) []string  { return nil }
func inSwitch(l *Lab) []string { return []string{"nsenter", "--net=" + l.switchPath()} }
func inProcess(pid int) place {
	return func(*Lab) []string { return []string{"nsenter", "--net=" + fmt.Sprintf("/proc/%d/ns/net", pid)} }
}
func inFile(path string) place {
	return func(*Lab) []string { return []string{"nsenter", "--net=" + path} }
}

// ip carries out lines of ip(8).
func (l *Lab) ip(ctx context.Context, where place, lines ...string) error {
	argv := append(where(l), "ip", "-batch", "-")
	_, err := run(ctx, strings.NewReader(strings.Join(lines, "\n")+"\n"), argv...)
	return err
}

// plug connects a host to networks of the lab. The host's interfaces are eth0,
// eth1 in the order of the networks, those of the switch are named after port.
func (l *Lab) plug(ctx context.Context, netns string, host place, port string, number int, networks ...Network) error {
	outer, inner := []string{}, []string{"link set lo up"}
	for i, n := range networks {
		outer = append(outer,
			fmt.Sprintf("link add %s type veth peer name eth%d address %s netns %s", portName(n, port), i, l.hardware(n, number), netns),
			fmt.Sprintf("link set %s master %s up", portName(n, port), n))
		inner = append(inner,
			fmt.Sprintf("addr add %s/24 dev eth%d", l.addr4(n, number), i),
			fmt.Sprintf("addr add %s/64 dev eth%d nodad", l.addr6(n, number), i),
			fmt.Sprintf("link set eth%d up", i))
		if n == Public {
			v4, v6 := l.Desk()
			inner = append(inner,
				fmt.Sprintf("route add default via %s dev eth%d", v4, i),
				fmt.Sprintf("route add ::/0 via %s dev eth%d", v6, i))
		}
	}
	if err := l.ip(ctx, inSwitch, outer...); err != nil {
		return err
	}
	return l.ip(ctx, host, inner...)
}

// unplug removes the ports of hosts that are gone. A namespace without
// processes takes them along, too, but in its own time.
func (l *Lab) unplug(ctx context.Context, ports ...string) error {
	there, err := l.plugged(ports)
	if err != nil || len(there) == 0 {
		return err
	}
	argv := append(inSwitch(l), "ip", "-force", "-batch", "-")
	lines := "link delete " + strings.Join(there, "\nlink delete ") + "\n"
	_, failed := run(ctx, strings.NewReader(lines), argv...)
	if there, err = l.plugged(ports); err != nil || len(there) == 0 {
		return err
	}
	return failed
}

// plugged returns the interfaces of the switch that belong to the ports.
func (l *Lab) plugged(ports []string) ([]string, error) {
	var names []string
	err := withNetwork(l.switchPath(), func() error {
		links, err := net.Interfaces()
		for _, link := range links {
			for _, port := range ports {
				if link.Name == portName(Public, port) || link.Name == portName(Private, port) {
					names = append(names, link.Name)
				}
			}
		}
		return err
	})
	return names, err
}

func portName(n Network, port string) string {
	if n == Private {
		return "prv-" + port
	}
	return "pub-" + port
}

// banner asks sshd at addr for the first line that it says. An open port alone
// is no sign of life.
func banner(ctx context.Context, addr netip.Addr) (string, error) {
	d := net.Dialer{FallbackDelay: -1} // stays on its thread; see Server.Ready
	conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, 22).String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	line := make([]byte, 0, 255)
	for one := make([]byte, 1); len(line) < cap(line); line = append(line, one[0]) {
		if _, err := conn.Read(one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			break
		}
	}
	text := strings.TrimSpace(string(line))
	if !strings.HasPrefix(text, "SSH-2.0-") {
		return "", fmt.Errorf("%s does not speak SSH", addr)
	}
	return text, nil
}

// waitBanner waits until sshd answers at addr.
func waitBanner(ctx context.Context, addr netip.Addr) error {
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		_, err := banner(try, addr)
		cancel()
		if err == nil {
			return nil
		}
		if e := pause(ctx, 30*time.Millisecond); e != nil {
			return fmt.Errorf("sshd does not answer: %w (last: %w)", e, err)
		}
	}
}
