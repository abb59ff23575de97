// Package firewall turns the roles of a server and the site's wishes into a
// policy: which packets the server admits. A [Policy] is plain data; it answers
// whether a packet would be admitted ([Policy.Admits]), which is what a forecast
// and a probe want to know, and it becomes a table of nftables
// ([Policy.Table]), which is what the kernel wants.
//
// Application servers admit SSH, from the admin networks if there are any, and
// the application's ports, of which some lead to others. Database servers admit
// the database's port from application servers alone. SSH to database servers
// comes from application servers and the jump host, to backup servers from
// database servers and the jump host; one that the desk reaches without a jump
// host admits it from the admin networks, too, because nobody could get in
// otherwise. What is not admitted is dropped without an answer, for IPv4 and
// IPv6 alike.
//
// If an address or a network cannot be read, [New] fails and there is no
// policy: a rule that is left out might be the one that lets the operator in.
package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/holdfast-security/holdfast/server"
)

// A Rule admits new connections to a range of ports.
type Rule struct {
	// Why is what the rule is for, such as "the application".
	Why string
	// Protocol is "tcp" or "udp".
	Protocol string
	// First and Last are the range of ports.
	First, Last uint16
	// Peer is where connections may come from, or, of an outgoing one, lead to;
	// the zero Prefix is anywhere.
	Peer netip.Prefix
}

// has reports whether the rule is about a port.
func (r Rule) has(protocol string, port uint16) bool {
	return r.Protocol == protocol && r.First <= port && port <= r.Last
}

// A Policy is what a server admits.
type Policy struct {
	// SSH is the port of sshd.
	SSH uint16
	// In are the rules for connections to the server, those for SSH first.
	In []Rule
	// Redirects lead from one TCP port of the server to another, where In admits
	// the first.
	Redirects []server.Redirect
	// Confined says that the server may open no connections but those in Out.
	Confined bool
	Out      []Rule
}

// New returns the policy of the server that c is for.
func New(c server.Config) (Policy, error) {
	b := builder{f: c.Firewall}
	p := Policy{SSH: uint16(c.Port), Confined: c.Firewall.Confined}
	if c.Port < 1 || c.Port > 65535 {
		return Policy{}, fmt.Errorf("%d is no port", c.Port)
	}
	b.ssh(c)
	if len(b.rules) == 0 && b.err == nil {
		return Policy{}, fmt.Errorf("nobody could reach %s by SSH: it is behind no jump host and no server that its role admits", c.Server)
	}
	if slices.Contains(c.Roles, server.Application) {
		for _, port := range c.Firewall.ApplicationPorts {
			b.admit(server.PacketRule{Protocol: "tcp", First: port, Last: port}, "the application")
		}
		p.Redirects = c.Firewall.Redirects
	}
	if slices.Contains(c.Roles, server.Database) {
		for _, port := range c.Firewall.DatabasePorts {
			b.from(port, c.Firewall.Applications, "the database, for application servers")
		}
	}
	for _, r := range c.Firewall.Rules {
		b.admit(r, "a rule of the site")
	}
	p.In = b.take()
	if p.Confined {
		for _, protocol := range []string{"tcp", "udp"} {
			if len(c.Firewall.Servers) > 0 {
				b.admit(server.PacketRule{Protocol: protocol, First: 1, Last: 65535, Peers: c.Firewall.Servers}, "servers of the site")
			}
		}
		for _, r := range c.Firewall.Egress {
			b.admit(r, "an outgoing rule of the site")
		}
		p.Out = b.take()
	}
	if b.err != nil {
		return Policy{}, b.err
	}
	return p, nil
}

// On reports whether a policy is ours to enforce on the server that c is for.
func On(c server.Config) bool { return c.Firewall.Filter != server.FilterProvider }

// A builder collects rules, and the first error.
type builder struct {
	f     server.Firewall
	rules []Rule
	err   error
}

// ssh admits SSH to a server with the roles of c.
func (b *builder) ssh(c server.Config) {
	f := c.Firewall
	isDatabase, isBackup := slices.Contains(c.Roles, server.Database), slices.Contains(c.Roles, server.Backup)
	if slices.Contains(c.Roles, server.Application) || f.Direct || !isDatabase && !isBackup {
		if len(f.AdminNetworks) == 0 {
			b.admit(server.PacketRule{Protocol: "tcp", First: c.Port, Last: c.Port}, "SSH")
		}
		b.from(c.Port, f.AdminNetworks, "SSH, from the admin networks")
		if len(f.AdminNetworks) > 0 {
			b.from(c.Port, c.BreakGlass.From, "SSH, for the break-glass key")
		}
	}
	b.from(c.Port, f.Jump, "SSH, from the jump host")
	if isDatabase {
		b.from(c.Port, f.Applications, "SSH, from application servers")
	}
	if isBackup {
		b.from(c.Port, f.Databases, "SSH, from database servers")
	}
}

// from admits a TCP port from peers; nobody if there are none.
func (b *builder) from(port int, peers []string, why string) {
	if len(peers) > 0 {
		b.admit(server.PacketRule{Protocol: "tcp", First: port, Last: port, Peers: peers}, why)
	}
}

// admit adds a rule for each peer.
func (b *builder) admit(r server.PacketRule, why string) {
	fail := func(format string, args ...any) { b.err = cmp.Or(b.err, fmt.Errorf(format, args...)) }
	if r.Protocol != "tcp" && r.Protocol != "udp" {
		fail("%q is no protocol with ports that a rule can name", r.Protocol)
		return
	}
	if r.First < 1 || r.Last > 65535 || r.First > r.Last {
		fail("%d to %d is no range of ports", r.First, r.Last)
		return
	}
	one := Rule{Why: why, Protocol: r.Protocol, First: uint16(r.First), Last: uint16(r.Last)}
	if len(r.Peers) == 0 {
		b.add(one)
		return
	}
	for _, text := range r.Peers {
		peer, err := ParsePeer(text)
		if err != nil {
			fail("%w", err)
			return
		}
		one.Peer = peer
		b.add(one)
	}
}

// add adds a rule unless an earlier one admits as much.
func (b *builder) add(r Rule) {
	covered := slices.ContainsFunc(b.rules, func(o Rule) bool {
		return o.Protocol == r.Protocol && o.First <= r.First && r.Last <= o.Last &&
			(!o.Peer.IsValid() || r.Peer.IsValid() && o.Peer.Bits() <= r.Peer.Bits() && o.Peer.Contains(r.Peer.Addr()))
	})
	if !covered {
		b.rules = append(b.rules, r)
	}
}

func (b *builder) take() []Rule {
	all := b.rules
	b.rules = nil
	return all
}

// ParsePeer reads an address or a network. A network that is everything of one
// family is one; a zone is not part of an address here.
func ParsePeer(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q: an address with a zone cannot be filtered by", text)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network", text)
	}
	if p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 network written as IPv6", text)
	}
	return p.Masked(), nil
}

// Admits reports whether a new connection from an address to a port of the
// server would be admitted. An address that is not valid stands for any that no
// rule names. A port that leads to another is admitted if it is itself.
func (p Policy) Admits(protocol string, port uint16, from netip.Addr) bool {
	return slices.ContainsFunc(p.In, func(r Rule) bool { return r.has(protocol, port) && r.takes(from) })
}

// takes reports whether the rule is for a peer with this address.
func (r Rule) takes(a netip.Addr) bool {
	return !r.Peer.IsValid() || a.IsValid() && r.Peer.Contains(a.Unmap().WithZone(""))
}

// Peers returns who may reach a port: nothing for nobody, a zero Prefix among
// them for everybody.
func (p Policy) Peers(protocol string, port uint16) []netip.Prefix {
	var all []netip.Prefix
	for _, r := range p.In {
		if r.has(protocol, port) && !slices.Contains(all, r.Peer) {
			all = append(all, r.Peer)
		}
	}
	return all
}

// Target returns the port that a TCP port leads to, itself if it is not
// redirected.
func (p Policy) Target(port uint16) uint16 {
	for _, r := range p.Redirects {
		if r.From == int(port) && len(p.Peers("tcp", port)) > 0 {
			return uint16(r.To)
		}
	}
	return port
}
