package site_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server/site"
)

func keyCases() []problemCase {
	key := func(name, text, what, instead string) problemCase {
		return problemCase{name: name, old: "[keys/alice.pub]", new: "[" + text + "]", want: one(4, what, instead), byLoad: true}
	}
	const ed = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOiROXPTfCvsQ3lXBvzxWAO7/BzWDDT6sz9IE/36k+E8"
	return []problemCase{
		{name: "no key", old: "[keys/alice.pub]", new: "[]", want: one(4, "an admin without a key could not log in", "keys:")},
		key("an empty key", `""`, "there is no key", "ssh-ed25519"),
		key("missing file", "keys/none.pub", "does not exist", "relative to this file"),
		key("some text", "hello", "this is not a public SSH key", "ssh-ed25519"),
		key("cut off", ed[:50], "it may be cut off", ""),
		key("without type", ed[12:], "the type before the key is missing", ""),
		key("with options", `'from="10.0.0.1" `+ed+`'`, "has options before its type", "without them"),
		key("with a command", `'command="sh",no-pty `+ed+`'`, "has options before its type", ""),
		key("two lines", `"`+ed+`\n`+ed+`"`, "one line", ""),
		key("control character", `"`+ed+` a\eb"`, "control characters", ""),
		key("DSA", "keys/dsa.pub", "DSA keys have 1024 bits and are broken", "ed25519"),
		key("SSH2 format", `"---- BEGIN SSH2 PUBLIC KEY ---- AAAA"`, "another format", "ssh-keygen -i"),
		key("PEM format", `"-----BEGIN PUBLIC KEY----- AAAA"`, "another format", "-m PKCS8"),
		key("twice", "keys/alice.pub, keys/alice.pub", `is already that of the admin "alice"`, "once"),
		{name: "shared", old: "keys/carol.pub", new: "keys/alice.pub", want: one(7, `is already that of the admin "alice"`, "two share"), byLoad: true},
		{name: "break-glass key is an admin's", old: "{account: rescue}", new: "{key: keys/alice.pub, from: [192.0.2.0/24]}", want: one(8, `that of the admin "alice"`, ""), byLoad: true},
		{name: "break-glass key from everywhere", old: "{account: rescue}", new: "{key: keys/rescue.pub}", want: one(8, "works from everywhere", "from:")},
		{name: "break-glass networks without key", old: "{account: rescue}", new: "{account: rescue, from: [192.0.2.0/24]}", want: one(8, "no key to restrict", "key:")},
		{name: "no network", old: "{account: rescue}", new: "{key: keys/rescue.pub, from: []}", want: one(8, "names no network", "192.0.2.0/24")},
		{name: "an address", old: "{account: rescue}", new: `{key: keys/rescue.pub, from: ["2001:db8::1"]}`, want: one(8, "an address and not a network", "2001:db8::1/128"), byLoad: true},
		{name: "host bits", old: "{account: rescue}", new: "{key: keys/rescue.pub, from: [192.0.2.7/24]}", want: one(8, "outside the network", "192.0.2.0/24"), byLoad: true},
		{name: "the internet", old: "{account: rescue}", new: `{key: keys/rescue.pub, from: ["::/0"]}`, want: one(8, "the whole internet", ""), byLoad: true},
		{name: "not a network", old: "{account: rescue}", new: "{key: keys/rescue.pub, from: [home]}", want: one(8, "not a network", "192.0.2.0/24"), byLoad: true},
	}
}

func TestParseKey(t *testing.T) {
	for name, want := range map[string]struct {
		typ    string
		bits   int
		refuse bool
		advice string
	}{
		"alice.pub": {typ: "ssh-ed25519"},
		"r2048.pub": {typ: "ssh-rsa", bits: 2048, refuse: true, advice: "2048 bits; RSA needs 3072"},
		"r3072.pub": {typ: "ssh-rsa", bits: 3072, advice: "ed25519 is advised"},
		"ec.pub":    {typ: "ecdsa-sha2-nistp256", advice: "ed25519 is advised"},
	} {
		k, err := site.ParseKey(text(t, name) + "\n")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a := site.KeyAdvice(k)
		if k.Type != want.typ || k.Bits != want.bits || k.Line != text(t, name) || !strings.HasPrefix(k.Fingerprint, "SHA256:") ||
			a.Refuse != want.refuse || !strings.Contains(a.Text, want.advice) || (a.Text == "") != (want.advice == "") {
			t.Errorf("%s: got %+v with advice %+v", name, k, a)
		}
	}
}

func TestParseKeyRefusesCertificates(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.UserCert}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	if _, err := site.ParseKey(string(ssh.MarshalAuthorizedKey(cert))); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestParseKeyRefusesTinyRSA(t *testing.T) {
	pub, err := ssh.NewPublicKey(&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 767, 1), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := site.ParseKey(string(ssh.MarshalAuthorizedKey(pub))); err == nil {
		t.Error("an RSA key of 768 bits was accepted")
	}
}

// privateKeys are private keys in every format that people have.
func privateKeys(t *testing.T) map[string]string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	encode := func(typ string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	openssh, err := ssh.MarshalPrivateKey(ed, "alice")
	must(err)
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(ed, "alice", []byte("a passphrase of some length"))
	must(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(ed)
	must(err)
	sec1, err := x509.MarshalECPrivateKey(ec)
	must(err)
	body := base64.StdEncoding.EncodeToString(pkcs8)
	long := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(rs))
	return map[string]string{
		"OpenSSH":             string(pem.EncodeToMemory(openssh)),
		"OpenSSH, passphrase": string(pem.EncodeToMemory(locked)),
		"OpenSSH, no header":  base64.StdEncoding.EncodeToString(openssh.Bytes),
		"PKCS#1":              encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rs)),
		"PKCS#8":              encode("PRIVATE KEY", pkcs8),
		"PKCS#8, encrypted":   encode("ENCRYPTED PRIVATE KEY", pkcs8),
		"SEC 1":               encode("EC PRIVATE KEY", sec1),
		"DSA":                 encode("DSA PRIVATE KEY", pkcs8),
		"SSH.COM":             "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n" + body + "\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\n",
		"PuTTY":               "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: alice\nPublic-Lines: 1\nAAAAC3Nz\nPrivate-Lines: 1\n" + body + "\nPrivate-MAC: 00\n",
		"age":                 "# created: 2026\nAGE-SECRET-KEY-1" + strings.ToUpper(body),
		"PKCS#8, no header":   body,
		"PKCS#1, no header":   long,
		"with a type before":  "ssh-rsa " + long + " alice",
		"raw":                 base64.StdEncoding.EncodeToString(ed.Seed()),
	}
}

// leaks reports a piece of secret, longer than what may stand there by chance,
// that is part of text.
func leaks(text, secret string) string {
	const piece = 12
	secret = strings.Join(strings.Fields(secret), "")
	text = strings.Join(strings.Fields(text), "")
	for i := 0; i+piece <= len(secret); i++ {
		part := secret[i : i+piece]
		if strings.Contains(part, "PRIVATE") || strings.Contains(part, "ssh-") || strings.Contains(part, "SECRET") || strings.Contains(part, "-----") {
			continue
		}
		if strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

func TestPrivateKeysAreRefusedAndNeverRepeated(t *testing.T) {
	named := map[string]bool{}
	for name, private := range privateKeys(t) {
		dir := t.TempDir()
		path := filepath.Join(dir, "key.pub")
		if err := os.WriteFile(path, []byte(private), 0o600); err != nil {
			t.Fatal(err)
		}
		flat := strings.Join(strings.Fields(private), " ")
		indented := "|\n      " + strings.ReplaceAll(strings.TrimSpace(private), "\n", "\n      ")
		replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
		errs := map[string]error{}
		_, errs["ParseKey"] = site.ParseKey(private)
		for where, content := range map[string]string{
			"file":           replace("keys/alice.pub", path),
			"quoted":         replace("keys/alice.pub", fmt.Sprintf("%q", private)),
			"flat":           replace("[keys/alice.pub]", fmt.Sprintf("[%q]", flat)),
			"block":          replace("- keys/carol.pub", "- "+indented),
			"break-glass":    replace("{account: rescue}", fmt.Sprintf("{key: %q, from: [192.0.2.0/24]}", private)),
			"pasted":         replace("keys: [keys/alice.pub]", private),
			"name":           replace("name: alice", fmt.Sprintf("name: %q", flat)),
			"key":            replace("passwords:", fmt.Sprintf("%q:", flat)),
			"recipient":      good + fmt.Sprintf("secrets: {recipients: [%q]}\n", flat),
			"password rules": replace("guide", fmt.Sprintf("%q", flat)),
		} {
			_, errs[where] = parse(content)
		}
		for where, err := range errs {
			if err == nil {
				t.Errorf("%s as %s was accepted", name, where)
				continue
			}
			data, jsonErr := json.Marshal(err)
			if jsonErr != nil {
				t.Fatal(jsonErr)
			}
			for _, out := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err), string(data)} {
				if part := leaks(out, private); part != "" {
					t.Errorf("%s as %s: the error repeats %q: %s", name, where, part, out)
				}
			}
			if strings.Contains(err.Error(), "private key") {
				named[name] = true
			}
		}
		e := (*site.KeyError)(nil)
		if !errors.As(errs["ParseKey"], &e) {
			t.Errorf("%s: the error is %T", name, errs["ParseKey"])
		}
	}
	for _, name := range []string{"OpenSSH", "OpenSSH, passphrase", "OpenSSH, no header", "PKCS#1", "PKCS#8", "PKCS#8, encrypted", "SEC 1", "DSA", "SSH.COM", "PuTTY", "age"} {
		if !named[name] {
			t.Errorf("%s is not called a private key", name)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, name := range []string{"alice.pub", "r2048.pub", "ec.pub", "dsa.pub"} {
		f.Add(text(f, name))
	}
	f.Add(`from="x" ` + text(f, "alice.pub"))
	f.Add("ssh-ed25519 AAAA")
	f.Fuzz(func(t *testing.T, line string) {
		k, err := site.ParseKey(line)
		if e := (*site.KeyError)(nil); err != nil {
			if !errors.As(err, &e) || e.What == "" || e.Instead == "" {
				t.Fatalf("got %T %v", err, err)
			}
			return
		}
		again, err := site.ParseKey(k.Line)
		if err != nil || again != k || strings.ContainsAny(k.Line, "\n\r\x00") {
			t.Errorf("%q reads as %+v, and that as %+v, %v", line, k, again, err)
		}
	})
}
