package site

import (
	"cmp"
	_ "embed" // for the comments of this file
	"fmt"
	"net/netip"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/holdfast-security/holdfast/server"
)

//go:embed firewall.go
var firewallSource string

// A Redirect leads connections to one TCP port of an application server to
// another, so that the application needs no privileges.
type Redirect struct {
	// The port that people connect to.
	From int `yaml:"from" jsonschema:"required,minimum=1,maximum=65535" like:"from: 80"`
	// The port that the application listens on.
	To int `yaml:"to" jsonschema:"required,minimum=1,maximum=65535" like:"to: 3000"`
}

// A Rule admits connections beyond those that the roles need.
type Rule struct {
	// tcp or udp.
	Protocol string `yaml:"protocol" jsonschema:"required" like:"protocol: tcp"`
	// The port, or the first of a range.
	Port int `yaml:"port" jsonschema:"required,minimum=1,maximum=65535" like:"port: 9100"`
	// The last port of a range. Default the first.
	To int `yaml:"to,omitempty" jsonschema:"minimum=1,maximum=65535" like:"to: 9110"`
	// Where connections may come from: addresses, networks in CIDR notation, names of servers of the site. Default anywhere.
	Sources []string `yaml:"sources,omitempty" jsonschema:"minItems=1" like:"sources: [app-1, 192.0.2.0/24]"`
	// The names of the servers that the rule is for. Default all.
	Servers []string `yaml:"servers,omitempty" jsonschema:"minItems=1" like:"servers: [db-1]"`
}

// An Egress is a kind of connections that servers may open. A server that one is
// for may open no others, but for those to servers of the site.
type Egress struct {
	// tcp or udp.
	Protocol string `yaml:"protocol" jsonschema:"required" like:"protocol: tcp"`
	// The port, or the first of a range.
	Port int `yaml:"port" jsonschema:"required,minimum=1,maximum=65535" like:"port: 443"`
	// The last port of a range. Default the first.
	To int `yaml:"to,omitempty" jsonschema:"minimum=1,maximum=65535" like:"to: 444"`
	// Where connections may lead to: addresses, networks in CIDR notation, names of servers of the site. Default anywhere.
	Destinations []string `yaml:"destinations,omitempty" jsonschema:"minItems=1" like:"destinations: [192.0.2.53]"`
	// The names of the servers that the rule is for. Default all.
	Servers []string `yaml:"servers,omitempty" jsonschema:"minItems=1" like:"servers: [db-1]"`
}

// setFirewallDefaults fills in the guide's ports and redirects.
func (s *Site) setFirewallDefaults() {
	s.Firewall = cmp.Or(s.Firewall, server.FilterHoldfast)
	if s.ApplicationPorts == nil {
		s.ApplicationPorts = []int{80, 443, 3000, 3003}
	}
	if s.Redirects == nil {
		s.Redirects = []Redirect{{From: 80, To: 3000}, {From: 443, To: 3003}}
	}
	if s.DatabasePorts == nil {
		s.DatabasePorts = []int{3306}
	}
}

// firewall is what srv has to know of the site to filter its packets.
func (s *Site) firewall(srv Server) server.Firewall {
	f := server.Firewall{
		Filter: s.Firewall, AdminNetworks: slices.Clone(s.AdminNetworks), Direct: srv.Jump == "",
		ApplicationPorts: slices.Clone(s.ApplicationPorts), DatabasePorts: slices.Clone(s.DatabasePorts),
	}
	for _, r := range s.Redirects {
		f.Redirects = append(f.Redirects, server.Redirect{From: r.From, To: r.To})
	}
	for _, other := range s.Servers {
		if other.Name == srv.Name {
			continue
		}
		if other.Name == srv.Jump {
			f.Jump = other.addresses()
		}
		if slices.Contains(other.Roles, server.Application) {
			f.Applications = append(f.Applications, other.seen()...)
		}
		if slices.Contains(other.Roles, server.Database) {
			f.Databases = append(f.Databases, other.seen()...)
		}
		f.Servers = append(f.Servers, other.addresses()...)
	}
	for _, r := range s.Rules {
		if len(r.Servers) == 0 || slices.Contains(r.Servers, srv.Name) {
			f.Rules = append(f.Rules, s.packetRule(r.Protocol, r.Port, r.To, r.Sources))
		}
	}
	for _, e := range s.Egress {
		if len(e.Servers) == 0 || slices.Contains(e.Servers, srv.Name) {
			f.Confined = true
			f.Egress = append(f.Egress, s.packetRule(e.Protocol, e.Port, e.To, e.Destinations))
		}
	}
	return f
}

// packetRule puts addresses in the place of the names of servers.
func (s *Site) packetRule(protocol string, first, last int, peers []string) server.PacketRule {
	r := server.PacketRule{Protocol: protocol, First: first, Last: cmp.Or(last, first)}
	for _, p := range peers {
		if other, ok := s.Server(p); ok {
			r.Peers = append(r.Peers, other.addresses()...)
		} else {
			r.Peers = append(r.Peers, p)
		}
	}
	return r
}

// addresses are all addresses of a server that are not names.
func (srv Server) addresses() []string {
	var all []string
	for _, text := range []string{srv.Private, srv.Private6, srv.Address, srv.Address6} {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(all, a.String()) {
			all = append(all, a.String())
		}
	}
	return all
}

// seen are the addresses under which other servers see a server: those in the
// network that they share, if it has any.
func (srv Server) seen() []string {
	if srv.Private != "" || srv.Private6 != "" {
		return Server{Private: srv.Private, Private6: srv.Private6}.addresses()
	}
	return srv.addresses()
}

// firewall checks what the site file says of packets.
func (c *checker) firewall() {
	filters := []string{string(server.FilterHoldfast), string(server.FilterTakeOver), string(server.FilterProvider)}
	if n, ok := c.sound("firewall"); ok && !slices.Contains(filters, n.Value) {
		c.add(n, "there is no firewall "+show(n.Value), "write one of "+strings.Join(filters, ", "))
	}
	c.notEmpty(len(c.site.AdminNetworks), "admin_networks names no network", "admin_networks: [192.0.2.0/24], or remove it", "admin_networks")
	for i, text := range c.site.AdminNetworks {
		if n, ok := c.sound("admin_networks", i); ok {
			if what, instead := networkProblem(text); what != "" {
				c.add(n, what, instead)
			}
		}
	}
	for _, key := range []string{"application_ports", "database_ports"} {
		if list := c.at(key); list != nil && list.Kind == yaml.SequenceNode {
			for i := range list.Content {
				c.port("80", key, i)
			}
		}
	}
	c.redirects()
	for i, r := range c.site.Rules {
		c.packetRule(r.Protocol, r.Port, r.To, "rules", i)
		c.peers(r.Sources, "sources", "rules", i)
		c.named(r.Servers, "rules", i)
	}
	for i, e := range c.site.Egress {
		c.packetRule(e.Protocol, e.Port, e.To, "egress", i)
		c.peers(e.Destinations, "destinations", "egress", i)
		c.named(e.Servers, "egress", i)
	}
	c.sources()
}

// port reports a number at path that is no port.
func (c *checker) port(like string, path ...any) {
	n, ok := c.sound(path...)
	if !ok {
		return
	}
	var port int
	if _, err := fmt.Sscan(n.Value, &port); err != nil || port < 1 || port > 65535 {
		c.add(n, "a port is not between 1 and 65535", "write "+like)
	}
}

func (c *checker) redirects() {
	from := map[string]int{}
	for i, r := range c.site.Redirects {
		c.port("from: 80", "redirects", i, "from")
		c.port("to: 3000", "redirects", i, "to")
		c.unique(from, "the redirect from", "redirects", i, "from")
		n, ok := c.sound("redirects", i, "from")
		if !ok {
			continue
		}
		if r.From == r.To {
			c.add(n, "a port leads to itself", "write another port, or remove the redirect")
		}
		for _, srv := range c.site.Servers {
			if r.From == cmp.Or(srv.Port, defaultPort) {
				c.add(n, fmt.Sprintf("sshd of %s listens on this port", show(srv.Name)), "write another port: nobody could log in")
				break
			}
		}
	}
}

func (c *checker) packetRule(protocol string, port, to int, path ...any) {
	at := func(key string) []any { return append(slices.Clone(path), key) }
	if n, ok := c.sound(at("protocol")...); ok && protocol != "tcp" && protocol != "udp" {
		c.add(n, "there are no ports of "+show(protocol), "write protocol: tcp or protocol: udp")
	}
	c.port("port: 9100", at("port")...)
	c.port("to: 9110", at("to")...)
	if n, ok := c.sound(at("to")...); ok && to < port {
		c.add(n, "the range ends before it begins", fmt.Sprintf("write a port from %d on, or remove to", port))
	}
}

// peers reports what is no address, network or server with an address.
func (c *checker) peers(all []string, key string, path ...any) {
	c.notEmpty(len(all), key+" is empty", key+": [192.0.2.0/24], or remove it", append(slices.Clone(path), key)...)
	for i, text := range all {
		n, ok := c.sound(append(slices.Clone(path), key, i)...)
		if !ok {
			continue
		}
		if at := slices.IndexFunc(c.site.Servers, func(srv Server) bool { return srv.Name == text }); at >= 0 {
			if len(c.site.Servers[at].addresses()) == 0 {
				c.add(n, "the site file gives no IP address of "+show(text), "write its private: 10.0.0.5")
			}
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			continue
		}
		if p, err := netip.ParsePrefix(text); err == nil && p == p.Masked() {
			continue
		}
		c.add(n, show(text)+" is no address, no network and no server of the site", "write an address, a network such as 192.0.2.0/24, or the name of a server")
	}
}

// named reports servers that a rule is for and that there are not.
func (c *checker) named(all []string, path ...any) {
	c.notEmpty(len(all), "the rule is for no server", "servers: [app-1], or remove it", append(slices.Clone(path), "servers")...)
	var known []string
	for _, srv := range c.site.Servers {
		known = append(known, srv.Name)
	}
	for i, name := range all {
		if n, ok := c.sound(append(slices.Clone(path), "servers", i)...); ok && !slices.Contains(known, name) {
			c.add(n, "there is no server "+show(name), "write one of "+strings.Join(known, ", "))
		}
	}
}

// sources reports servers that others must admit and that have a name for an
// address: a rule needs a number.
func (c *checker) sources() {
	if c.site.Firewall == server.FilterProvider || c.badRoles {
		return
	}
	for i, srv := range c.site.Servers {
		n, ok := c.sound("servers", i, "address")
		if !ok || len(srv.addresses()) > 0 {
			continue
		}
		roles := append(slices.Clone(srv.Roles), srv.Role)
		for _, other := range c.site.Servers {
			theirs := append(slices.Clone(other.Roles), other.Role)
			if other.Name != srv.Name && (other.Jump == srv.Name ||
				slices.Contains(roles, server.Application) && slices.Contains(theirs, server.Database) ||
				slices.Contains(roles, server.Database) && slices.Contains(theirs, server.Backup)) {
				c.add(n, fmt.Sprintf("the firewall of %s has to admit this server, and it has no IP address here", show(other.Name)),
					"write its address in the network that the servers share as private: 10.0.0.5")
				break
			}
		}
	}
}
