// Package probe finds out, from where it runs, which ports of a server answer.
// A [Scanner] connects to TCP ports as any client does and sends datagrams to UDP
// ports, over IPv4 and IPv6, many ports at a time and each within a time limit.
// It needs no privileges, and what it sees is what anybody in the same place sees.
//
// A port that says no is as reachable as one that is open: a filter that drops in
// silence leaves neither ([State]). Silence over UDP proves less than over TCP,
// because a program may listen and keep quiet.
//
// If a scan fails, because its context ends, or because the machine runs out of
// sockets or has no way to the server, it returns no results: a port that was not
// asked must not count as one that is closed.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A State is what a port does.
type State string

// The states.
const (
	// Open ports take connections, or answer a datagram.
	Open State = "open"
	// Refused ports are reached and say that nothing listens, or that they are
	// forbidden.
	Refused State = "refused"
	// Silent ports do not answer in time.
	Silent State = "silent"
)

// Reached reports whether a packet came through to the server, and an answer back.
func (s State) Reached() bool { return s == Open || s == Refused }

// A Port is one port of a protocol.
type Port struct {
	// Protocol is "tcp" or "udp".
	Protocol string `json:"protocol"`
	// Number is 1 to 65535.
	Number uint16 `json:"number"`
}

// String is the port as "22/tcp".
func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Number, p.Protocol) }

// A Scanner asks ports. The zero value is ready to use.
type Scanner struct {
	// Timeout is how long a TCP port has for an answer, and a UDP port for each
	// try; 0 stands for 2 s.
	Timeout time.Duration
	// Parallel is how many ports are asked at a time, each with a socket of its
	// own; 0 stands for 256.
	Parallel int
	// Tries is how many datagrams are sent to a UDP port that does not answer;
	// 0 stands for 2. The kernel sends TCP again by itself.
	Tries int
}

const (
	defaultTimeout  = 2 * time.Second
	defaultParallel = 256
	defaultTries    = 2
)

// Scan asks ports of a host and returns the state of each. It takes at most about
// Timeout times the number of ports divided by Parallel, and for UDP times Tries.
func (s Scanner) Scan(ctx context.Context, host netip.Addr, ports []Port) (map[Port]State, error) {
	if s.Timeout <= 0 {
		s.Timeout = defaultTimeout
	}
	if s.Parallel <= 0 {
		s.Parallel = defaultParallel
	}
	if s.Tries <= 0 {
		s.Tries = defaultTries
	}
	for _, p := range ports {
		if p.Number == 0 || p.Protocol != "tcp" && p.Protocol != "udp" {
			return nil, fmt.Errorf("%v is no port that can be scanned", p)
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		mu     sync.Mutex
		states = make(map[Port]State, len(ports))
		queue  = make(chan Port)
		done   sync.WaitGroup
	)
	for range min(s.Parallel, len(ports)) {
		done.Go(func() {
			for p := range queue {
				state, err := s.ask(ctx, p.Protocol, netip.AddrPortFrom(host, p.Number))
				if err != nil {
					stop(fmt.Errorf("scanning %v of %v: %w", p, host, err))
					continue
				}
				mu.Lock()
				states[p] = state
				mu.Unlock()
			}
		})
	}
	for _, p := range ports {
		if ctx.Err() != nil {
			break
		}
		queue <- p
	}
	close(queue)
	done.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return states, nil
}

// ask asks one port. The error says that the port could not be asked.
func (s Scanner) ask(ctx context.Context, protocol string, to netip.AddrPort) (State, error) {
	d := net.Dialer{Timeout: s.Timeout, FallbackDelay: -1, KeepAlive: -1}
	conn, err := d.DialContext(ctx, protocol, to.String())
	if err != nil {
		return judged(ctx, err)
	}
	defer conn.Close()
	if protocol == "tcp" {
		// A reset leaves nothing behind in the kernel, at either end.
		return Open, conn.(*net.TCPConn).SetLinger(0)
	}
	return s.datagrams(ctx, conn, to.Port())
}

// datagrams asks a UDP port that a socket is connected to.
func (s Scanner) datagrams(ctx context.Context, conn net.Conn, port uint16) (State, error) {
	leave := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer leave()
	answer := make([]byte, 1)
	for range s.Tries {
		if err := conn.SetReadDeadline(time.Now().Add(s.Timeout)); err != nil {
			return "", err
		}
		_, err := conn.Write(question(port))
		if err == nil {
			_, err = conn.Read(answer)
		}
		if err == nil {
			return Open, nil
		}
		if state, err := judged(ctx, err); err != nil || state != Silent {
			return state, err
		}
	}
	return Silent, nil
}

// judged says what an error means for the port.
func judged(ctx context.Context, err error) (State, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if is(err, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EACCES) {
		return Refused, nil
	}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) {
		return Silent, nil
	}
	return "", err
}

func is(err error, all ...error) bool {
	return slices.ContainsFunc(all, func(one error) bool { return errors.Is(err, one) })
}

// Questions that programs answer: most keep quiet if they are not asked in their
// own language.
const (
	// The name servers of the root (RFC 1035, section 4.1).
	dnsQuestion = "\x48\x46\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"
	// The time, of a client of version 4 (RFC 5905, section 7.3).
	ntpQuestion = "\x23\x00\x06\xec"
	// sysDescr.0 of the community public (RFC 1157, section 4.1.2).
	snmpQuestion = "\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00"
	// Which programs there are (RFC 5531, section 9, and RFC 1833, section 3.2).
	rpcQuestion = "\x48\x4f\x4c\x44\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa0\x00\x00\x00\x02\x00\x00\x00\x04" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// question is what is sent to a UDP port.
func question(port uint16) []byte {
	switch port {
	case 53, 5353:
		return []byte(dnsQuestion)
	case 123:
		return []byte(ntpQuestion + strings.Repeat("\x00", 44))
	case 161:
		return []byte(snmpQuestion)
	case 111:
		return []byte(rpcQuestion)
	}
	return []byte("\r\n")
}

// AllTCP returns every TCP port.
func AllTCP() []Port {
	all := make([]Port, 0, 65535)
	for n := 1; n <= 65535; n++ {
		all = append(all, Port{Protocol: "tcp", Number: uint16(n)})
	}
	return all
}

// CommonUDP returns the UDP ports of services that servers often have: names,
// addresses, time, files, management, logs, tunnels, discovery and games that
// amplify.
func CommonUDP() []Port {
	var all []Port
	for _, n := range []uint16{
		7, 17, 19, 53, 67, 68, 69, 88, 111, 123, 137, 138, 161, 162, 177, 389, 427, 443, 500, 514, 520, 546, 547, 623, 631,
		853, 1194, 1434, 1645, 1646, 1701, 1812, 1813, 1900, 2049, 3478, 3702, 4500, 4789, 5060, 5351, 5353, 5355, 5683,
		6081, 8472, 10001, 11211, 17185, 19132, 27015, 33434, 47808, 51820,
	} {
		all = append(all, Port{Protocol: "udp", Number: n})
	}
	return all
}
