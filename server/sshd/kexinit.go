package sshd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// An Offer is what a daemon offers to any client before authentication: the
// algorithms of its first packet (RFC 4253, section 7.1).
type Offer struct {
	// Banner is the daemon's identification, such as "SSH-2.0-OpenSSH_9.2p1".
	Banner string
	// Kex are the key exchanges, without the pseudo-algorithms that only signal
	// extensions.
	Kex []string
	// HostKeys are the algorithms of host keys that the daemon has.
	HostKeys []string
	// Ciphers and MACs are those of both directions; a daemon that offers
	// different ones to and fro has them all here.
	Ciphers, MACs []string
}

const (
	msgKexInit   = 20
	cookieLen    = 16
	maxPacket    = 35000 // RFC 4253, section 6.1
	maxBanner    = 255   // RFC 4253, section 4.2
	maxPreBanner = 64    // lines before the identification
)

// signals are names in the list of key exchanges that are none.
var signals = []string{"ext-info-s", "ext-info-c", "kex-strict-s-v00@openssh.com", "kex-strict-c-v00@openssh.com"}

// ReadOffer says hello to the daemon at the other end of conn and returns its
// offer. The caller sets deadlines and closes conn.
func ReadOffer(conn io.ReadWriter) (Offer, error) {
	if _, err := io.WriteString(conn, "SSH-2.0-Holdfast_audit\r\n"); err != nil {
		return Offer{}, fmt.Errorf("greeting sshd: %w", err)
	}
	in := bufio.NewReaderSize(conn, maxPacket)
	banner, err := readBanner(in)
	if err != nil {
		return Offer{}, err
	}
	var head [5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return Offer{}, fmt.Errorf("reading sshd's first packet: %w", err)
	}
	length, padding := binary.BigEndian.Uint32(head[:4]), uint32(head[4])
	if length > maxPacket || length < padding+2 {
		return Offer{}, fmt.Errorf("sshd's first packet says it has %d bytes, %d of them padding", length, padding)
	}
	body := make([]byte, length-1)
	if _, err := io.ReadFull(in, body); err != nil {
		return Offer{}, fmt.Errorf("reading sshd's first packet: %w", err)
	}
	offer, err := ParseKexInit(body[:length-1-padding])
	offer.Banner = banner
	return offer, err
}

// readBanner returns the identification; a daemon may send lines before it.
func readBanner(in *bufio.Reader) (string, error) {
	for range maxPreBanner {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", fmt.Errorf("reading sshd's identification: %w", err)
		}
		if len(line) <= maxBanner && strings.HasPrefix(string(line), "SSH-") {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
	}
	return "", errors.New("what answers does not identify itself as an SSH daemon")
}

// ParseKexInit reads the payload of an SSH_MSG_KEXINIT.
func ParseKexInit(payload []byte) (Offer, error) {
	if len(payload) < 1+cookieLen || payload[0] != msgKexInit {
		return Offer{}, errors.New("the packet is no offer of algorithms (SSH_MSG_KEXINIT)")
	}
	rest := payload[1+cookieLen:]
	var lists [8][]string
	for i := range lists {
		text, after, ok := cutString(rest)
		if !ok {
			return Offer{}, errors.New("the offer of algorithms ends too early")
		}
		rest = after
		if len(text) > 0 {
			lists[i] = strings.Split(string(text), ",")
		}
	}
	o := Offer{HostKeys: lists[1], Ciphers: union(lists[2], lists[3]), MACs: union(lists[4], lists[5])}
	for _, k := range lists[0] {
		if !slices.Contains(signals, k) {
			o.Kex = append(o.Kex, k)
		}
	}
	return o, nil
}

// cutString takes one string off the front (RFC 4251, section 5).
func cutString(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}

func union(a, b []string) []string {
	all := append([]string(nil), a...)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
