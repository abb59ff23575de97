package forecast

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/firewall"
	"github.com/holdfast-security/holdfast/server/resource"
)

// RefusePackets says why the firewall of c must not be loaded for an operator
// whose session comes from an address; nil if nothing speaks against it. An
// address that is not known, empty, cannot be looked at, and one of the machine
// itself is always admitted. Where an exception switches the firewall off there
// is nothing to refuse.
func RefusePackets(c server.Config, from string) ([]string, error) {
	a, err := netip.ParseAddr(from)
	_, excepted, _ := c.Exception("firewall", time.Now())
	if !firewall.On(c) || err != nil || a.IsLoopback() || excepted {
		return nil, nil
	}
	p, err := firewall.New(c)
	if err != nil {
		return nil, err
	}
	if p.Admits("tcp", p.SSH, a) {
		return nil, nil
	}
	var peers []string
	for _, n := range p.Peers("tcp", p.SSH) {
		peers = append(peers, describePeer(n))
	}
	return []string{fmt.Sprintf("the firewall would not admit your own address %s to port %d, only %s",
		a.Unmap().WithZone(""), p.SSH, strings.Join(peers, ", "))}, nil
}

func describePeer(n netip.Prefix) string {
	if n.IsSingleIP() {
		return n.Addr().String()
	}
	return n.String()
}

// CutOff returns in words what of the machine that r shows, as it is now, the
// firewall of c would cut off: who listens and is reached, and whether packets
// of others pass through. What our own table stops already is not among it.
func CutOff(ctx context.Context, r server.Reader, c server.Config) ([]string, error) {
	if !firewall.On(c) {
		return nil, nil
	}
	p, err := firewall.New(c)
	if err != nil {
		return nil, err
	}
	out, err := r.Output(ctx, "ss", "-H", "-l", "-n", "-t", "-u", "-p")
	if err != nil {
		return nil, fmt.Errorf("asking what listens: %w", err)
	}
	all, err := parseListeners(out)
	if err != nil {
		return nil, err
	}
	live := liveTable(ctx, r)
	var said []string
	for _, l := range all {
		if l.port == p.SSH && l.protocol == "tcp" || live != "" && !live.admits(l) {
			continue
		}
		if text := cutOff(p, l, all); text != "" && !slices.Contains(said, text) {
			said = append(said, text)
		}
	}
	e, err := r.Read(ctx, "/proc/sys/net/ipv4/ip_forward")
	if err == nil && strings.TrimSpace(e.Content) == "1" && live == "" {
		said = append(said, "packets of others pass through this server today (net.ipv4.ip_forward is 1); only those of Docker will")
	}
	return said, nil
}

// cutOff says what the policy does to a listener, "" if it admits everybody or
// the listener is no service of its own.
func cutOff(p firewall.Policy, l listener, all []listener) string {
	peers := p.Peers(l.protocol, l.port)
	who := fmt.Sprintf("%s on %s port %d", l.program, l.protocol, l.port)
	switch target := p.Target(l.port); {
	case len(peers) == 0:
		return who + " is reached today and would be cut off"
	case l.protocol == "tcp" && target != l.port && !slices.ContainsFunc(all, func(o listener) bool { return o.protocol == "tcp" && o.port == target }):
		return fmt.Sprintf("%s is reached today and would be cut off: what arrives there is led to port %d, where nothing listens", who, target)
	case l.protocol == "tcp" && target != l.port:
		return fmt.Sprintf("%s would be cut off: what arrives there is led to port %d", who, target)
	case slices.ContainsFunc(peers, func(n netip.Prefix) bool { return !n.IsValid() }):
		return ""
	}
	var from []string
	for _, n := range peers {
		from = append(from, describePeer(n))
	}
	return who + " would be reached from " + strings.Join(from, ", ") + " alone"
}

// A listener is a socket that takes what comes from outside.
type listener struct {
	protocol string
	port     uint16
	program  string
}

var programName = regexp.MustCompile(`users:\(\("([^"]*)"`)

// parseListeners reads what ss -Hlntup prints and leaves out what listens on
// loopback alone.
func parseListeners(out string) ([]listener, error) {
	var all []listener
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "tcp" && fields[0] != "udp" {
			continue
		}
		if len(fields) < 5 {
			return nil, fmt.Errorf("ss printed %q", line)
		}
		i := strings.LastIndexByte(fields[4], ':')
		if i < 0 {
			return nil, fmt.Errorf("ss printed %q", line)
		}
		host, _, _ := strings.Cut(strings.Trim(fields[4][:i], "[]"), "%")
		host = strings.TrimSuffix(host, "]")
		port, err := strconv.ParseUint(fields[4][i+1:], 10, 16)
		if err != nil {
			return nil, fmt.Errorf("ss printed %q", line)
		}
		if a, err := netip.ParseAddr(host); err == nil && a.Unmap().IsLoopback() {
			continue
		}
		l := listener{protocol: fields[0], port: uint16(port), program: "something"}
		if m := programName.FindStringSubmatch(line); m != nil {
			l.program = m[1]
		}
		// A client of DHCP is admitted by every policy.
		if l.protocol == "udp" && (l.port == 68 || l.port == 546) || slices.Contains(all, l) {
			continue
		}
		all = append(all, l)
	}
	return all, nil
}

// A table is our table as the kernel has it; empty if there is none.
type table string

// liveTable reads it. Where nft is missing or fails there is none to be known.
func liveTable(ctx context.Context, r server.Reader) table {
	s, err := resource.Table{Family: firewall.Family, Table: firewall.Name}.Get(ctx, r)
	if err != nil {
		return ""
	}
	return table(s)
}

var portRule = regexp.MustCompile(`(tcp|udp) dport (\d+)(?:-(\d+))? accept`)

// admits reports whether some rule of the table admits somebody to a listener.
func (t table) admits(l listener) bool {
	for _, m := range portRule.FindAllStringSubmatch(string(t), -1) {
		first, err := strconv.Atoi(m[2])
		last := first
		if m[3] != "" {
			last, _ = strconv.Atoi(m[3])
		}
		if err == nil && m[1] == l.protocol && first <= int(l.port) && int(l.port) <= last {
			return true
		}
	}
	return false
}
