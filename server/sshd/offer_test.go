package sshd_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server/sshd"
)

// TestReadOffer reads the offer of a daemon of another make.
func TestReadOffer(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: true, ServerVersion: "SSH-2.0-Test"}
	config.KeyExchanges = []string{"curve25519-sha256", "ecdh-sha2-nistp256"}
	config.Ciphers = []string{"aes256-gcm@openssh.com", "aes128-ctr"}
	config.MACs = []string{"hmac-sha2-256-etm@openssh.com"}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		theirs, err := listener.Accept()
		if err != nil {
			return // the test has ended
		}
		defer theirs.Close()
		_, _, _, _ = ssh.NewServerConn(theirs, config) // fails when we hang up
	}()
	ours, err := net.DialTimeout("tcp", listener.Addr().String(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if err := ours.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	offer, err := sshd.ReadOffer(ours)
	if err != nil {
		t.Fatal(err)
	}
	if offer.Banner != "SSH-2.0-Test" ||
		!slices.Equal(offer.Ciphers, config.Ciphers) || !slices.Equal(offer.MACs, config.MACs) ||
		!slices.Contains(offer.HostKeys, "ssh-ed25519") ||
		!slices.Contains(offer.Kex, config.KeyExchanges[0]) || slices.Contains(offer.Kex, "kex-strict-s-v00@openssh.com") {
		t.Errorf("got %+v", offer)
	}
}

type conversation struct {
	*bytes.Reader
	said bytes.Buffer
}

func (c *conversation) Write(b []byte) (int, error) { return c.said.Write(b) }

func TestReadOfferRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"another protocol":      strings.Repeat("220 mail ESMTP\r\n", 100),
		"nothing":               "",
		"hangs up":              "SSH-2.0-x\r\n\x00\x00",
		"a packet without end":  "SSH-2.0-x\r\n\xff\xff\xff\xff\x04",
		"only padding":          "SSH-2.0-x\r\n\x00\x00\x00\x05\x04\x14\x00\x00\x00",
		"no offer":              "SSH-2.0-x\r\n\x00\x00\x00\x0c\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"a line without an end": "SSH-2.0-" + strings.Repeat("x", 40000),
	} {
		t.Run(name, func(t *testing.T) {
			if o, err := sshd.ReadOffer(&conversation{Reader: bytes.NewReader([]byte(in))}); err == nil {
				t.Errorf("was taken for the offer %+v", o)
			}
		})
	}
}

func kexInit(lists ...string) []byte {
	b := append([]byte{20}, make([]byte, 16)...)
	for _, l := range lists {
		b = binary.BigEndian.AppendUint32(b, uint32(len(l)))
		b = append(b, l...)
	}
	return append(b, 0, 0, 0, 0, 0)
}

func FuzzParseKexInit(f *testing.F) {
	f.Add(kexInit("a,ext-info-s", "b", "c", "c,d", "e", "e", "none", "none", "", ""))
	f.Add(kexInit("", "", "", "", "", "", "", "", "", ""))
	f.Add([]byte{20, 0, 0})
	f.Add(append([]byte{20}, bytes.Repeat([]byte{0xff}, 40)...))
	f.Fuzz(func(t *testing.T, payload []byte) {
		o, err := sshd.ParseKexInit(payload)
		if err != nil {
			return
		}
		for _, name := range slices.Concat(o.Kex, o.HostKeys, o.Ciphers, o.MACs) {
			if !bytes.Contains(payload, []byte(name)) {
				t.Fatalf("%q is not in the packet", name)
			}
		}
	})
}
