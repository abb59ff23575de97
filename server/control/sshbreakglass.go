package control

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// breakGlassKeys is the one file whose keys open root where root is let in: the
// keys in root's own authorized_keys stay without effect.
const breakGlassKeys = "/etc/ssh/holdfast_break_glass_keys"

// breakGlassBlock opens root for the break-glass key, from its networks only.
func breakGlassBlock(c server.Config) (string, error) {
	if c.BreakGlass.Key == "" {
		return "", nil
	}
	networks, err := breakGlassNetworks(c)
	if err != nil {
		return "", err
	}
	return "\n# The break-glass key, and nothing else, opens root from these networks.\n" +
		"Match User root Address " + strings.Join(networks, ",") + "\n" +
		"    PermitRootLogin prohibit-password\n" +
		"    AuthorizedKeysFile " + breakGlassKeys + "\n" +
		"    AuthorizedKeysCommand none\n" +
		"    TrustedUserCAKeys none\n", nil
}

// breakGlassKey is the file with the break-glass key; without a key there is no
// file.
func breakGlassKey(_ context.Context, _ server.Reader, c server.Config) ([]server.Resource, error) {
	if c.BreakGlass.Key == "" {
		return []server.Resource{resource.Absent{Path: breakGlassKeys}}, nil
	}
	networks, err := breakGlassNetworks(c)
	if err != nil {
		return nil, err
	}
	k, err := sshd.ParseKey(c.BreakGlass.Key)
	if err != nil {
		return nil, fmt.Errorf("the break-glass key: %w", err)
	}
	if err := k.Strong(); err != nil {
		return nil, fmt.Errorf("the break-glass key: %w", err)
	}
	line := fmt.Sprintf("restrict,pty,from=%q %s %s %s\n", strings.Join(networks, ","), k.Type, k.Blob, k.Comment)
	return []server.Resource{resource.File{Path: breakGlassKeys, Mode: 0o600, Content: line}}, nil
}

func breakGlassNetworks(c server.Config) ([]string, error) {
	var networks []string
	for _, from := range c.BreakGlass.From {
		n, err := netip.ParsePrefix(from)
		if err != nil {
			return nil, fmt.Errorf("the networks of the break-glass key: %w", err)
		}
		networks = append(networks, n.Masked().String())
	}
	if networks == nil {
		return nil, fmt.Errorf("the break-glass key has no network that it works from")
	}
	return networks, nil
}

// letsRootIn reports whether the break-glass key is to open root for a client
// at addr.
func letsRootIn(c server.Config, addr string) bool {
	a, err := netip.ParseAddr(addr)
	if err != nil || c.BreakGlass.Key == "" {
		return false
	}
	for _, from := range c.BreakGlass.From {
		if n, err := netip.ParsePrefix(from); err == nil && n.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}
