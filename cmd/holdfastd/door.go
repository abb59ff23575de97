package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/forecast"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// bannerLimit is how long an sshd of this machine may take to answer.
const bannerLimit = 3 * time.Second

// A door tells the journal who can get in.
type door struct{}

// Ways pairs every account that can log in and become root with every port on
// which sshd answers.
func (door) Ways(ctx context.Context, r server.Reader) ([]string, error) {
	all, err := forecast.Look(ctx, r, server.Config{}, "")
	if err != nil {
		return nil, err
	}
	at, err := listening(ctx, r)
	if err != nil {
		return nil, err
	}
	var ways []string
	for _, a := range at {
		if err := answers(ctx, a); err != nil {
			continue
		}
		for _, one := range all {
			way := fmt.Sprintf("%s on port %d", one.Account, a.Port())
			if (one.Key.Works || one.Password.Works) && one.Root.Works && !slices.Contains(ways, way) {
				ways = append(ways, way)
			}
		}
	}
	return ways, nil
}

// Config keeps where sshd listens and how root logs in.
func (door) Config(ctx context.Context, r server.Reader) (string, error) {
	d, err := sshd.Look(ctx, r)
	if err != nil {
		return "", err
	}
	s, err := sshd.Effective(ctx, r, d.Options, nil)
	if err != nil {
		return "", err
	}
	at, err := listening(ctx, r)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, a := range at {
		fmt.Fprintf(&b, "ListenAddress %s\n", a)
	}
	for _, key := range s.Words("hostkey") {
		fmt.Fprintf(&b, "HostKey %s\n", key)
	}
	root := s.Get("permitrootlogin")
	if root != "yes" {
		// Without PAM nobody may be able to become root but root.
		root = "prohibit-password"
	}
	fmt.Fprintf(&b, "PermitRootLogin %s\nPasswordAuthentication %s\n", root, s.Get("passwordauthentication"))
	return b.String(), nil
}

// listening returns the addresses on which sshd is meant to listen.
func listening(ctx context.Context, r server.Reader) ([]netip.AddrPort, error) {
	d, err := sshd.Look(ctx, r)
	if err != nil {
		return nil, err
	}
	words := d.Listen
	if !d.SocketActive {
		s, err := sshd.Effective(ctx, r, d.Options, nil)
		if err != nil {
			return nil, err
		}
		words = s.Words("listenaddress")
	}
	var all []netip.AddrPort
	for _, word := range words {
		if a, err := netip.ParseAddrPort(word); err == nil {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("sshd listens on no address")
	}
	return all, nil
}

// answers asks sshd for the first line that it says.
func answers(ctx context.Context, at netip.AddrPort) error {
	ctx, stop := context.WithTimeout(ctx, bannerLimit)
	defer stop()
	to := at.Addr()
	switch {
	case to == netip.IPv4Unspecified():
		to = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case to == netip.IPv6Unspecified():
		to = netip.IPv6Loopback()
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(to, at.Port()).String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(bannerLimit)); err != nil {
		return err
	}
	line, err := bufio.NewReaderSize(c, 512).ReadSlice('\n')
	if err != nil {
		return err
	}
	// An sshd that is tired of this address is one, too.
	for _, greeting := range []string{"SSH-2.0-", "Not allowed at this time", "Exceeded MaxStartups"} {
		if strings.HasPrefix(string(line), greeting) {
			return nil
		}
	}
	return fmt.Errorf("%s says %q", at, line)
}
