package sshd_test

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server/sshd"
)

const ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJsyTUo3i0SgnRxlgqsnGGVGbUjL2oYLW4UH8bDrmyYN"

func rsaKey(t testing.TB, bits int) string {
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

func TestParseKey(t *testing.T) {
	short := rsaKey(t, 2048)
	for _, tt := range []struct{ line, want, from string }{
		{line: ed25519Key + " alice@desk", want: "ssh-ed25519 (alice@desk)"},
		{line: "  " + ed25519Key, want: "ssh-ed25519"},
		{line: short + " old", want: "ssh-rsa of 2048 bits (old)"},
		{line: `from="10.0.0.0/8,!10.1.*",command="echo \"a b\" ssh-rsa",no-pty ` + ed25519Key + " a b", want: "ssh-ed25519 (a b)", from: "10.0.0.0/8,!10.1.*"},
		{line: "# " + ed25519Key},
		{line: "ssh-rsa " + strings.Fields(ed25519Key)[1]},
		{line: "ssh-ed25519 !!!"},
		{line: "ssh-ed25519"},
		{line: ""},
	} {
		k, err := sshd.ParseKey(tt.line)
		if (err == nil) != (tt.want != "") || err == nil && k.String() != tt.want {
			t.Errorf("%q was read as %q, %v; want %q", tt.line, k, err, tt.want)
		}
		if from, _ := k.Option("FROM"); from != tt.from {
			t.Errorf("%q: from %q, want %q", tt.line, from, tt.from)
		}
	}
}

func TestParseAuthorizedKeys(t *testing.T) {
	keys := sshd.ParseAuthorizedKeys("# mine\n\n" + ed25519Key + "\nnonsense\n" + ed25519Key + " b\n")
	if len(keys) != 2 || keys[0].Line != 3 || keys[1].Line != 5 || keys[0].Blob != keys[1].Blob {
		t.Errorf("got %+v", keys)
	}
}

// FuzzParseKey compares with another reader of the same format: what it takes
// for a plain key of a kind that we measure, we take for the same.
func FuzzParseKey(f *testing.F) {
	f.Add(ed25519Key + " c")
	f.Add(rsaKey(f, 1024))
	f.Add(`from="a b",no-pty ` + ed25519Key)
	f.Add(`command="\"" ssh-rsa AAAA`)
	f.Fuzz(func(t *testing.T, line string) {
		k, err := sshd.ParseKey(line)
		if err != nil {
			return
		}
		again, err := sshd.ParseKey(k.Type + " " + k.Blob + " " + k.Comment)
		if err != nil || again.Blob != k.Blob || again.Bits != k.Bits || again.Options != nil {
			t.Fatalf("%q was read as %+v, and that as %+v, %v", line, k, again, err)
		}
		if k.Type != "ssh-rsa" && k.Type != "ssh-ed25519" {
			return
		}
		theirs, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || k.Type != "ssh-rsa" {
			return
		}
		crypto, ok := theirs.(ssh.CryptoPublicKey)
		if !ok {
			return
		}
		if public, ok := crypto.CryptoPublicKey().(*rsa.PublicKey); ok && public.N.BitLen() != k.Bits {
			t.Fatalf("%q has %d bits, not %d", line, public.N.BitLen(), k.Bits)
		}
	})
}
