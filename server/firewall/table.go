package firewall

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The names of what the table consists of, for whoever fills the sets or looks
// at the table.
const (
	// Family and Name are those of the table.
	Family = "inet"
	Name   = "holdfast"
	// Banned4 and Banned6 are sets of addresses from which nobody may connect;
	// their elements run out.
	Banned4 = "banned4"
	Banned6 = "banned6"
)

// Limits of what the kernel answers for one machine and for all.
const (
	// pings is how many echo requests are answered.
	pings = "limit rate 10/second burst 20 packets"
	// logins are the new SSH connections of one IPv4 address, or one IPv6 network
	// of 64 bits, beyond which they are dropped. The proofs of a guarded change
	// take about a dozen, and behind a jump host all share its address.
	logins = "limit rate over 60/minute burst 60 packets"
)

// notBeginning matches a TCP packet that does not begin a connection.
const notBeginning = "tcp flags & (fin | syn | rst | ack) != syn"

// A writer writes a table as nft 1.0.6 to 1.1.3 print it, byte for byte: what is
// read back from the kernel is compared with it. Rules name one peer and one
// range of ports each, because the releases differ in how they merge and sort
// sets.
type writer struct{ strings.Builder }

func (w *writer) chain(name, hook string, rules func()) {
	fmt.Fprintf(w, "\n\tchain %s {\n", name)
	if hook != "" {
		w.rule("type " + hook)
	}
	rules()
	w.WriteString("\t}\n")
}

func (w *writer) rule(parts ...string) {
	w.WriteString("\t\t")
	space := ""
	for _, p := range parts {
		if p != "" {
			w.WriteString(space + p)
			space = " "
		}
	}
	w.WriteString("\n")
}

// Table returns the table as "nft -s list table inet holdfast" prints it once it
// is loaded. With docker, what containers publish is reachable as far as the
// policy admits their published port, and containers reach out.
func (p Policy) Table(docker bool) string {
	w := &writer{}
	w.WriteString("table " + Family + " " + Name + " {\n")
	w.sets()
	w.chain("input", "filter hook input priority filter; policy drop;", func() { p.input(w) })
	w.chain("known", "", func() { p.known(w) })
	w.chain("forward", "filter hook forward priority filter; policy drop;", func() { p.forward(w, docker) })
	if redirects := p.redirects(); len(redirects) > 0 {
		// After Docker's own, so that a port that a container publishes is the
		// container's.
		w.chain("redirects", "nat hook prerouting priority dstnat + 5; policy accept;", func() {
			for _, r := range redirects {
				w.rule("fib daddr type local tcp dport "+strconv.Itoa(r[0]), "redirect to :"+strconv.Itoa(r[1]))
			}
		})
	}
	if p.Confined {
		w.chain("output", "filter hook output priority filter; policy drop;", func() { p.output(w) })
		if docker {
			w.chain("outgoing", "", func() { p.outgoing(w) })
		}
	}
	w.WriteString("}\n")
	return w.String()
}

// redirects are those from ports that the policy admits at all.
func (p Policy) redirects() [][2]int {
	var all [][2]int
	for _, r := range p.Redirects {
		if len(p.Peers("tcp", uint16(r.From))) > 0 {
			all = append(all, [2]int{r.From, r.To})
		}
	}
	return all
}

func (w *writer) sets() {
	for i, s := range []struct{ name, kind, flags string }{
		{Banned4, "ipv4_addr", "\t\tflags timeout\n"},
		{Banned6, "ipv6_addr", "\t\tflags timeout\n"},
		{"ssh4", "ipv4_addr", "\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n"},
		{"ssh6", "ipv6_addr", "\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n"},
	} {
		if i > 0 {
			w.WriteString("\n")
		}
		fmt.Fprintf(w, "\tset %s {\n\t\ttype %s\n%s\t}\n", s.name, s.kind, s.flags)
	}
}

func (p Policy) input(w *writer) {
	w.rule(`iifname "lo" accept`)
	w.rule("ct state established,related accept")
	// What IPv6 does not work without (RFC 4890, section 4.4): before what is
	// invalid, because neighbours are tracked by nobody.
	w.rule("icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, mld-listener-query, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept")
	w.rule("icmp type echo-request", pings, "accept")
	w.rule("icmpv6 type echo-request", pings, "accept")
	// The server's own address may be a lease.
	w.rule("udp sport 67 udp dport 68 accept")
	w.rule("ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept")
	w.rule("ct state invalid drop")
	w.banned()
	w.rule(notBeginning, "jump known")
	ssh := "tcp dport " + strconv.Itoa(int(p.SSH))
	w.rule(ssh, "update @ssh4 { ip saddr "+logins+" } drop")
	w.rule(ssh, "update @ssh6 { ip6 saddr & ffff:ffff:ffff:ffff:: "+logins+" } drop")
	for _, r := range p.In {
		w.rule(peer(r.Peer, "saddr"), r.ports(), "accept", `comment "`+r.Why+`"`)
	}
	for _, redirect := range p.redirects() {
		for _, r := range p.In {
			if r.has("tcp", uint16(redirect[0])) {
				w.rule(peer(r.Peer, "saddr"), published("tcp", strconv.Itoa(redirect[0])), "accept")
			}
		}
	}
}

// known admits packets of connections that are older than the table: the kernel
// has a socket for them, and nobody knows of them but that socket.
func (p Policy) known(w *writer) {
	for _, r := range p.In {
		if r.Protocol == "tcp" {
			w.rule(peer(r.Peer, "saddr"), r.ports(), "socket wildcard 0 accept")
		}
	}
	w.rule("drop")
}

func (w *writer) banned() {
	w.rule("ip saddr @"+Banned4, "drop")
	w.rule("ip6 saddr @"+Banned6, "drop")
}

func (p Policy) forward(w *writer, docker bool) {
	w.rule("ct state established,related accept")
	w.rule("ct state invalid drop")
	if !docker {
		return
	}
	// The bridges of Docker: its default network and those that people make.
	for _, bridge := range []string{`iifname "docker0"`, `iifname "br-*"`} {
		if p.Confined {
			w.rule(bridge, "jump outgoing")
		} else {
			w.rule(bridge, "accept")
		}
	}
	w.banned()
	for _, r := range p.In {
		if !r.has("tcp", p.SSH) {
			w.rule(peer(r.Peer, "saddr"), published(r.Protocol, r.span()), "accept")
		}
	}
}

// published matches packets that were sent to a port of the server and led to
// another or to a container.
func published(protocol, ports string) string {
	return "ct status dnat meta l4proto " + protocol + " ct original proto-dst " + ports
}

func (p Policy) output(w *writer) {
	w.rule(`oifname "lo" accept`)
	w.rule("ct state established,related accept")
	// Connections that are older than the table.
	w.rule(notBeginning, "accept")
	w.rule("meta l4proto icmp accept")
	w.rule("meta l4proto ipv6-icmp accept")
	w.rule("udp sport 68 udp dport 67 accept")
	w.rule("udp sport 546 udp dport 547 accept")
	p.outgoing(w)
}

func (p Policy) outgoing(w *writer) {
	for _, r := range p.Out {
		w.rule(peer(r.Peer, "daddr"), r.ports(), "accept")
	}
}

// peer matches the other end.
func peer(n netip.Prefix, field string) string {
	family := "ip "
	if n.Addr().Is6() {
		family = "ip6 "
	}
	switch {
	case !n.IsValid():
		return ""
	case n.Bits() == 0 && n.Addr().Is4():
		return "meta nfproto ipv4"
	case n.Bits() == 0:
		return "meta nfproto ipv6"
	case n.IsSingleIP():
		return family + field + " " + n.Addr().String()
	}
	return family + field + " " + n.String()
}

func (r Rule) ports() string { return r.Protocol + " dport " + r.span() }

func (r Rule) span() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}
