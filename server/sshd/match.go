package sshd

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Criterion is one condition of a Match block, such as User alice,bob.
type Criterion struct {
	// Name is in lower case: user, group, host, address, localaddress,
	// localport, rdomain, invalid-user or all.
	Name string
	// Patterns is the comma-separated list; empty for all and invalid-user.
	Patterns string
}

// A Match is the condition of one Match block: all criteria must hold.
type Match []Criterion

// String returns the condition as it is written.
func (m Match) String() string {
	var words []string
	for _, c := range m {
		words = append(words, c.Name)
		if c.Patterns != "" {
			words = append(words, c.Patterns)
		}
	}
	return "Match " + strings.Join(words, " ")
}

// All reports whether the block matches every connection.
func (m Match) All() bool { return len(m) == 1 && m[0].Name == "all" }

func parseMatch(args []string) (Match, error) {
	var m Match
	for i := 0; i < len(args); i++ {
		name, patterns, joined := strings.Cut(args[i], "=")
		name = strings.ToLower(name)
		switch name {
		case "all", "invalid-user":
			m = append(m, Criterion{Name: name})
			continue
		}
		if !joined {
			i++
			if i >= len(args) {
				return nil, fmt.Errorf("match criterion %q has no value", name)
			}
			patterns = args[i]
		}
		m = append(m, Criterion{Name: name, Patterns: patterns})
	}
	return m, nil
}

// A Spec is a connection that sshd is asked about (sshd -T -C).
type Spec struct {
	User string
	// Host and Addr are the client's; with UseDNS off, sshd takes the address
	// for the name.
	Host, Addr string
	// LocalAddr and LocalPort are the daemon's end.
	LocalAddr string
	LocalPort int
	// RDomain is the routing domain; empty for most.
	RDomain string
}

// String returns the argument of sshd -T -C.
func (s Spec) String() string {
	parts := []string{"user=" + s.User, "host=" + s.Host, "addr=" + s.Addr}
	if s.LocalAddr != "" {
		parts = append(parts, "laddr="+s.LocalAddr)
	}
	if s.LocalPort != 0 {
		parts = append(parts, "lport="+strconv.Itoa(s.LocalPort))
	}
	if s.RDomain != "" {
		parts = append(parts, "rdomain="+s.RDomain)
	}
	return strings.Join(parts, ",")
}

// Sample returns s changed so that it meets every condition in blocks, as far
// as a sample can: the first pattern that is not negated, with its wildcards
// filled in. member returns an account that belongs to a group, or "" if there
// is none; ok is false if some condition cannot be met that way.
func Sample(blocks []Match, s Spec, member func(group string) string) (_ Spec, ok bool) {
	for _, m := range blocks {
		for _, c := range m {
			v := sampleOf(c.Patterns)
			if v == "" && c.Name != "all" {
				return s, false
			}
			switch c.Name {
			case "all":
			case "user":
				s.User = v
			case "group":
				if s.User = member(v); s.User == "" {
					return s, false
				}
			case "host":
				s.Host = v
			case "address":
				a, ok := addressIn(v)
				if !ok {
					return s, false
				}
				if s.Host == s.Addr {
					s.Host = a
				}
				s.Addr = a
			case "localaddress":
				a, ok := addressIn(v)
				if !ok {
					return s, false
				}
				s.LocalAddr = a
			case "localport":
				port, err := strconv.Atoi(v)
				if err != nil {
					return s, false
				}
				s.LocalPort = port
			case "rdomain":
				s.RDomain = v
			default:
				return s, false
			}
		}
	}
	return s, true
}

// sampleOf returns a text that the first pattern without negation matches.
func sampleOf(patterns string) string {
	for p := range strings.SplitSeq(patterns, ",") {
		if p = strings.TrimSpace(p); p != "" && p[0] != '!' {
			// sshd -C parts its argument at commas and equals signs, which a
			// pattern cannot hold here.
			return strings.NewReplacer("*", "x", "?", "x").Replace(p)
		}
	}
	return ""
}

// addressIn returns an address in the network or the address pattern p, which
// has been through sampleOf: "x" stands for any number in an IPv4 pattern.
func addressIn(p string) (string, bool) {
	if n, err := netip.ParsePrefix(p); err == nil {
		a := n.Masked().Addr()
		if next := a.Next(); n.Contains(next) {
			a = next
		}
		return a.String(), true
	}
	if p == "x" {
		return "192.0.2.1", true
	}
	parts := strings.Split(strings.ReplaceAll(p, "x", "1"), ".")
	for len(parts) > 1 && len(parts) < 4 {
		parts = append(parts, "1")
	}
	a, err := netip.ParseAddr(strings.Join(parts, "."))
	return a.String(), err == nil
}
