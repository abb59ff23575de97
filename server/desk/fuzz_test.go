package desk

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/holdfast-security/holdfast/server/protocol"
	"golang.org/x/crypto/ssh"
)

func kexInit(names ...string) []byte {
	payload := ssh.Marshal(struct {
		Cookie                                                                         [16]byte `sshtype:"20"`
		Kex, HostKeys, CipherOut, CipherIn, MACOut, MACIn, ComprOut, ComprIn, Lang, La []string
		Follows                                                                        bool
		Reserved                                                                       uint32
	}{Kex: names, HostKeys: names, CipherOut: names, MACOut: names})
	packet := append([]byte{0, 0, 0, byte(len(payload) + 5), 4}, payload...)
	return append(packet, 0, 0, 0, 0)
}

func FuzzParseAlgorithms(f *testing.F) {
	f.Add(append([]byte("SSH-2.0-OpenSSH_9.2\r\n"), kexInit("a", "b")...))
	f.Add(append([]byte("hello\nSSH-2.0-x\x1b[31m\n"), kexInit("\x1b[2J")...))
	f.Add([]byte("SSH-2.0-x\n\xff\xff\xff\xff\x00\x14"))
	f.Add([]byte("SSH-2.0-x\n\x00\x00\x00\x02\xff\x14"))
	f.Fuzz(func(t *testing.T, head []byte) {
		a, err := ParseAlgorithms(head)
		if err != nil {
			return
		}
		for _, s := range slices.Concat([]string{a.Version}, a.KeyExchanges, a.HostKeys, a.Ciphers, a.MACs) {
			if s != protocol.Clean(s) {
				t.Errorf("%q is not clean", s)
			}
		}
	})
}

func TestParseAlgorithms(t *testing.T) {
	a, err := ParseAlgorithms(append([]byte("SSH-2.0-OpenSSH_9.2\r\n"), kexInit("a", "b")...))
	if err != nil || a.Version != "SSH-2.0-OpenSSH_9.2" || !slices.Equal(a.MACs, []string{"a", "b"}) {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzParseJumps(f *testing.F) {
	for _, s := range []string{"gate", "ada@gate:2222,inner", "ssh://ada@[2001:db8::1]:22/", "2001:db8::1", "a@b@c:1", ":", "[]:1", "x:0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		last, err := parseJumps(value)
		if err != nil {
			return
		}
		n := 0
		for j := last; j != nil; j = j.Jump {
			if n++; j.Address == "" || j.Port < 0 || j.Port > 65535 || !j.foreign {
				t.Errorf("%q: %+v", value, j)
			}
		}
		if n != strings.Count(value, ",")+1 {
			t.Errorf("%q: %d jump hosts", value, n)
		}
	})
}

func TestParseJumps(t *testing.T) {
	j, err := parseJumps("ada@gate:2222, ssh://[2001:db8::1]:23")
	if err != nil || j.Address != "2001:db8::1" || j.Port != 23 || j.Jump.Address != "gate" || j.Jump.Port != 2222 || j.Jump.Logins[0].User != "ada" {
		t.Errorf("%+v, %v", j, err)
	}
}

// A prompt is noticed however it is cut up, and each time.
func FuzzTail(f *testing.F) {
	f.Add("some text PROMPT more PROMPT", 3)
	f.Fuzz(func(t *testing.T, text string, size int) {
		if size < 1 {
			return
		}
		asked := make(chan struct{}, 1000)
		tail := &tail{prompt: "PROMPT", asked: asked}
		for piece := range slices.Chunk([]byte(text), size) {
			tail.Write(piece)
		}
		if want := strings.Count(text, "PROMPT"); len(asked) != want && want < 1000 {
			t.Errorf("noticed %d times, want %d", len(asked), want)
		}
		for _, r := range tail.text() {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Errorf("%q is not clean", tail.text())
			}
		}
	})
}
