package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// A Dialer is a [server.Reader] of a machine that this program does not run on,
// and that can be connected to all the same. Proofs that talk to a daemon use
// it if the Reader is one; otherwise they dial the machine they run on.
type Dialer interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// handshake is how long the daemon may take to make its offer.
const handshake = 10 * time.Second

// liveOffer is the daemon's own word: what it offers on its port.
var liveOffer = server.Proof{
	What: "the running sshd offers only modern algorithms",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		d, err := lookAwake(ctx, r, c)
		if err != nil {
			return server.Answer{}, err
		}
		settings, err := algorithms(ctx, r, c)
		if err != nil {
			return server.Answer{}, err
		}
		address, offer, err := readLive(ctx, r, c.Port, d)
		if err != nil {
			return server.Answer{}, err
		}
		a := server.Answer{Holds: true, Command: "ssh -vv -o BatchMode=yes -p " + strconv.Itoa(c.Port) + " " + address + " true"}
		var said []string
		for _, list := range []struct {
			keyword string
			offered []string
		}{
			{"kexalgorithms", offer.Kex},
			{"ciphers", offer.Ciphers},
			{"macs", offer.MACs},
			{"hostkeyalgorithms", offer.HostKeys},
		} {
			want := valueOf(settings, list.keyword)
			extra := slices.DeleteFunc(slices.Clone(list.offered), func(s string) bool { return slices.Contains(want, s) })
			if len(extra) > 0 || len(list.offered) == 0 {
				a.Holds = false
				said = append(said, fmt.Sprintf("%s: it offers %s besides", list.keyword, strings.Join(extra, ",")))
			}
		}
		if a.Holds {
			said = []string{fmt.Sprintf("key exchanges %s, host keys %s", strings.Join(offer.Kex, ","), strings.Join(offer.HostKeys, ","))}
		}
		a.Evidence = fmt.Sprintf("%s at %s: %s", offer.Banner, net.JoinHostPort(address, strconv.Itoa(c.Port)), strings.Join(said, "; "))
		return a, nil
	},
}

func valueOf(settings []setting, keyword string) []string {
	for _, s := range settings {
		if s.keyword() == keyword {
			return strings.Split(s.value, ",")
		}
	}
	return nil
}

// lookAwake is sshd.Look at a daemon that runs. Behind a socket it starts with
// the first connection, and before that sshd cannot even be asked on Debian 12,
// because the directory that it needs in /run comes with the start.
func lookAwake(ctx context.Context, r server.Reader, c server.Config) (sshd.Daemon, error) {
	d, err := sshd.Look(ctx, r)
	if err != nil || !d.SocketActive || d.PID != "" {
		return d, err
	}
	if _, _, err := readLive(ctx, r, c.Port, d); err != nil {
		return d, fmt.Errorf("waking sshd behind its socket: %w", err)
	}
	return d, nil
}

// readLive makes a handshake with the daemon at its port, on an address that it
// listens on.
func readLive(ctx context.Context, r server.Reader, port int, d sshd.Daemon) (address string, _ sshd.Offer, _ error) {
	addresses, err := listening(ctx, r, d)
	if err != nil {
		return "", sshd.Offer{}, err
	}
	var errs []error
	for _, address := range addresses {
		offer, err := readOffer(ctx, r, net.JoinHostPort(address, strconv.Itoa(port)))
		if err == nil {
			return address, offer, nil
		}
		errs = append(errs, err)
	}
	return "", sshd.Offer{}, fmt.Errorf("no handshake with sshd: %w", errors.Join(errs...))
}

func readOffer(ctx context.Context, r server.Reader, address string) (sshd.Offer, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	dial := (&net.Dialer{}).DialContext
	if d, ok := r.(Dialer); ok {
		dial = d.Dial
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return sshd.Offer{}, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return sshd.Offer{}, err
		}
	}
	return sshd.ReadOffer(conn)
}

// listening returns addresses of this machine to reach sshd at, loopback first.
func listening(ctx context.Context, r server.Reader, d sshd.Daemon) ([]string, error) {
	at := d.Listen
	if !d.SocketActive {
		s, err := sshd.Effective(ctx, r, d.Options, nil)
		if err != nil {
			return nil, err
		}
		at = s["listenaddress"]
	}
	addresses := []string{"127.0.0.1", "::1"}
	for _, a := range at {
		host, _, err := net.SplitHostPort(a)
		if err != nil || host == "" || slices.Contains(addresses, host) {
			continue
		}
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
			addresses = append(addresses, host)
		}
	}
	return addresses, nil
}
