package probe_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/probe"
)

// listen returns the port of something that listens on loopback.
func listen(t *testing.T, protocol, host string) (port probe.Port, stop func()) {
	t.Helper()
	at := net.JoinHostPort(host, "0")
	if protocol == "tcp" {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return probe.Port{Protocol: "tcp", Number: uint16(l.Addr().(*net.TCPAddr).Port)}, func() { l.Close() }
	}
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return probe.Port{Protocol: "udp", Number: uint16(c.LocalAddr().(*net.UDPAddr).Port)}, func() { c.Close() }
}

// echo answers every datagram on a port of its own.
func echo(t *testing.T, host string) probe.Port {
	t.Helper()
	c, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := c.WriteTo(b[:n], from); err != nil {
				return
			}
		}
	}()
	return probe.Port{Protocol: "udp", Number: uint16(c.LocalAddr().(*net.UDPAddr).Port)}
}

func TestScan(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			open, _ := listen(t, "tcp", host)
			closed, stop := listen(t, "tcp", host)
			stop()
			quiet, _ := listen(t, "udp", host)
			gone, stop := listen(t, "udp", host)
			stop()
			answers := echo(t, host)
			want := map[probe.Port]probe.State{
				open: probe.Open, closed: probe.Refused, quiet: probe.Silent, gone: probe.Refused, answers: probe.Open,
			}
			var ports []probe.Port
			for p := range want {
				ports = append(ports, p)
			}
			got, err := probe.Scanner{Timeout: time.Second, Parallel: 2}.Scan(t.Context(), netip.MustParseAddr(host), ports)
			if err != nil {
				t.Fatal(err)
			}
			for p, state := range want {
				if got[p] != state || got[p].Reached() != (state != probe.Silent) {
					t.Errorf("%v is %q, want %q", p, got[p], state)
				}
			}
			if len(got) != len(want) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestScanEveryPort(t *testing.T) {
	open, _ := listen(t, "tcp", "127.0.0.1")
	all := probe.AllTCP()
	got, err := probe.Scanner{}.Scan(t.Context(), netip.MustParseAddr("127.0.0.1"), all)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 65535 || got[open] != probe.Open {
		t.Errorf("%d ports have a state, and %v is %q", len(got), open, got[open])
	}
	for p, state := range got {
		if !state.Reached() {
			t.Errorf("%v is %s", p, state)
		}
	}
}

// A scan that was cut short must not pass for one that has found nothing.
func TestScanFails(t *testing.T) {
	host := netip.MustParseAddr("127.0.0.1")
	quiet, _ := listen(t, "udp", "127.0.0.1")
	t.Run("context", func(t *testing.T) {
		enough := errors.New("enough")
		ctx, stop := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, enough)
		defer stop()
		began := time.Now()
		got, err := probe.Scanner{Timeout: time.Minute}.Scan(ctx, host, []probe.Port{quiet})
		if !errors.Is(err, enough) || got != nil {
			t.Errorf("got %v, %v", got, err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	for name, ports := range map[string][]probe.Port{
		"port 0":         {{Protocol: "tcp"}},
		"other protocol": {{Protocol: "sctp", Number: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := (probe.Scanner{}).Scan(t.Context(), host, ports); err == nil {
				t.Errorf("got %v", got)
			}
		})
	}
	t.Run("no way there", func(t *testing.T) {
		// A zone that no interface has.
		got, err := probe.Scanner{Timeout: time.Second}.Scan(t.Context(), netip.MustParseAddr("fe80::1%nowhere"), []probe.Port{{Protocol: "tcp", Number: 1}})
		if err == nil {
			t.Errorf("got %v", got)
		}
	})
}

func TestCommonUDP(t *testing.T) {
	seen := map[probe.Port]bool{}
	for _, p := range probe.CommonUDP() {
		if p.Protocol != "udp" || p.Number == 0 || seen[p] {
			t.Errorf("%v", p)
		}
		seen[p] = true
	}
	if len(seen) < 40 {
		t.Errorf("only %d ports", len(seen))
	}
}
