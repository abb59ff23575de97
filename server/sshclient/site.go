package sshclient

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"unicode"
)

// A Host is a server of a site as ssh reaches it.
type Host struct {
	// Name is the server's name in the site, and what is typed after ssh.
	Name string
	// Address is where it is, seen from the desk or from the jump host.
	Address string
	Port    int
	// Jump is the Name of the host of the site that ssh goes through; empty if
	// there is none.
	Jump string
	// ProxyJump and ProxyCommand are how the operator's own configuration gets
	// to the address of a host without Jump; empty if it says nothing.
	ProxyJump, ProxyCommand string
	// Agent says that an agent may be forwarded to it.
	Agent bool
	// Identities are the paths of the keys that it is to be offered: private
	// keys, or public ones whose private halves are in the agent.
	Identities []string
}

// A Site is what ssh is to know of a site.
type Site struct {
	// Name is the site's name. Each host is also found as NAME.SITE.
	Name string
	// User is the admin who logs in.
	User string
	// KnownHosts is the path of the file with the pinned host keys.
	KnownHosts string
	Hosts      []Host
}

// alias is the name of a host that no other site has.
func (s Site) alias(host string) string { return host + "." + s.Name }

// Text is the site's file, in the syntax of ssh_config(5). It is an error if a
// path cannot be written in it.
func (s Site) Text() (string, error) {
	known, err := quoted(s.KnownHosts)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# The servers of the site %s, written by `holdfast ssh-config`, which replaces this file.\n", s.Name)
	for _, h := range s.Hosts {
		fmt.Fprintf(&b, "\nHost %s %s\n", h.Name, s.alias(h.Name))
		fmt.Fprintf(&b, "    HostName %s\n", h.Address)
		fmt.Fprintf(&b, "    Port %d\n", cmp.Or(h.Port, 22))
		fmt.Fprintf(&b, "    User %s\n", s.User)
		switch {
		case h.Jump != "":
			fmt.Fprintf(&b, "    ProxyJump %s\n", s.alias(h.Jump))
		case h.ProxyJump != "":
			fmt.Fprintf(&b, "    ProxyJump %s\n", h.ProxyJump)
		case h.ProxyCommand != "":
			fmt.Fprintf(&b, "    ProxyCommand %s\n", h.ProxyCommand)
		default:
			b.WriteString("    ProxyJump none\n")
		}
		// The keys are pinned under the server's name, whatever its address is.
		fmt.Fprintf(&b, "    HostKeyAlias %s\n", h.Name)
		fmt.Fprintf(&b, "    UserKnownHostsFile %s\n", known)
		b.WriteString("    StrictHostKeyChecking yes\n")
		if !h.Agent {
			b.WriteString("    ForwardAgent no\n")
		}
		for _, path := range h.Identities {
			identity, err := quoted(path)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "    IdentityFile %s\n", identity)
		}
		if len(h.Identities) > 0 {
			// The server counts every key that is offered in vain.
			b.WriteString("    IdentitiesOnly yes\n")
		}
	}
	return b.String(), nil
}

// quoted is a path as ssh_config(5) takes it, where % begins a token.
func quoted(path string) (string, error) {
	if strings.ContainsFunc(path, func(r rune) bool { return r == '"' || unicode.IsControl(r) }) || strings.Contains(path, "${") {
		return "", fmt.Errorf("the path %q cannot be written in an ssh configuration", path)
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("the path %q is not absolute", path)
	}
	return `"` + strings.ReplaceAll(path, "%", "%%") + `"`, nil
}
