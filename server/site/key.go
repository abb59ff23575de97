package site

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server/sshd"
)

// A Key is a public SSH key that was read and found good for use.
type Key struct {
	// Line is the key as authorized_keys wants it: type, key and comment.
	Line string
	// Type is the key's type, such as ssh-ed25519.
	Type string
	// Bits is the length of an RSA key, 0 for other types.
	Bits int
	// Fingerprint is the SHA-256 fingerprint as ssh-keygen prints it.
	Fingerprint string
}

// A KeyError says why something is not a public key that can be used. Its text
// never holds a part of it.
type KeyError struct {
	What, Instead string
	// Private says that it is a private key.
	Private bool
}

// Error says what is wrong.
func (e *KeyError) Error() string { return e.What }

const likeKey = "write a line such as ssh-ed25519 AAAA… alice@laptop, or the path of a .pub file"

// Markers of private keys: PEM in all its kinds (OpenSSH, PKCS#1, PKCS#8, SEC 1,
// DSA, PGP), SSH.COM, PuTTY, SSH 1, age, and OpenSSH's body without its header.
var privateMarker = regexp.MustCompile(`BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File-|SSH PRIVATE KEY FILE FORMAT|(?i:AGE-SECRET-KEY-)|b3BlbnNzaC1rZXktdj|openssh-key-v1\x00`)

// privateKeyLine returns the line, counted from 1, in which a private key
// begins.
func privateKeyLine(data []byte) (int, bool) {
	at := privateMarker.FindIndex(data)
	if at == nil {
		return 0, false
	}
	return 1 + bytes.Count(data[:at[0]], []byte("\n")), true
}

// ParseKey reads one public key in authorized_keys format, to be sent to servers:
// it takes less than [sshd.ParseKey], which reads what stands on a server
// already. Errors are of type [*KeyError].
func ParseKey(line string) (Key, error) {
	line = strings.TrimSpace(line)
	if _, private := privateKeyLine([]byte(line)); private {
		return Key{}, &KeyError{
			What: "this is a private key", Private: true,
			Instead: "write the public key, which is in the file that ends in .pub, and treat the private one as lost if others could read this",
		}
	}
	switch {
	case strings.ContainsAny(line, "\n\r\x00"):
		return Key{}, &KeyError{What: "a key must be one line", Instead: likeKey}
	case strings.Contains(line, "BEGIN SSH2 PUBLIC KEY") || strings.Contains(line, "BEGIN PUBLIC KEY") || strings.Contains(line, "BEGIN RSA PUBLIC KEY"):
		return Key{}, &KeyError{What: "this is a public key in another format than OpenSSH's", Instead: "write what ssh-keygen -i -f FILE prints (with -m PKCS8 or -m PEM if it begins with BEGIN PUBLIC KEY or BEGIN RSA PUBLIC KEY)"}
	case strings.HasPrefix(line, "AAAA"):
		return Key{}, &KeyError{What: "the type before the key is missing", Instead: likeKey}
	case line == "" || strings.HasPrefix(line, "#"):
		return Key{}, &KeyError{What: "there is no key", Instead: likeKey}
	}
	pub, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return Key{}, &KeyError{What: "this is not a public SSH key; it may be cut off", Instead: likeKey}
	}
	if len(options) > 0 {
		return Key{}, &KeyError{What: "the key has options before its type", Instead: "write the key without them, from its type on"}
	}
	if strings.IndexFunc(comment, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return Key{}, &KeyError{What: "the key's comment holds control characters", Instead: likeKey}
	}
	return checkKey(pub, comment)
}

// checkKey refuses types that sshd does not accept or that are broken.
func checkKey(pub ssh.PublicKey, comment string) (Key, error) {
	k := Key{Type: pub.Type(), Fingerprint: ssh.FingerprintSHA256(pub)}
	k.Line = strings.TrimSpace(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))) + " " + comment)
	const newKey = "write an ed25519 key; ssh-keygen -t ed25519 makes one"
	if _, ok := pub.(*ssh.Certificate); ok {
		return Key{}, &KeyError{What: "this is a certificate, which ends one day, and not a key", Instead: likeKey}
	}
	switch k.Type {
	case "ssh-dss":
		return Key{}, &KeyError{What: "DSA keys have 1024 bits and are broken; OpenSSH has refused them since 2015", Instead: newKey}
	case ssh.KeyAlgoRSA:
		if crypto, ok := pub.(ssh.CryptoPublicKey); ok {
			if key, ok := crypto.CryptoPublicKey().(*rsa.PublicKey); ok {
				k.Bits = key.N.BitLen()
			}
		}
		if k.Bits < 1024 {
			return Key{}, &KeyError{What: fmt.Sprintf("the RSA key has %d bits, and sshd refuses keys below 1024", k.Bits), Instead: newKey}
		}
	}
	return k, nil
}

// An Advice is what to think of a key that can be used.
type Advice struct {
	// Refuse says that the key must not be installed anew. One that is on a
	// server already keeps working, so that nobody is locked out, and is a
	// finding.
	Refuse bool
	// Text says why, in a sentence without a period; empty if there is nothing
	// to say.
	Text string
}

// KeyAdvice says what to think of k.
func KeyAdvice(k Key) Advice {
	switch {
	case k.Type == ssh.KeyAlgoRSA && k.Bits < sshd.MinRSA:
		return Advice{Refuse: true, Text: fmt.Sprintf("the RSA key %s has %d bits; RSA needs %d or more (NIST SP 800-57), ed25519 is better", k.Fingerprint, k.Bits, sshd.MinRSA)}
	case k.Type == ssh.KeyAlgoRSA, strings.HasPrefix(k.Type, "ecdsa-"):
		return Advice{Text: fmt.Sprintf("the key %s is %s; ed25519 is advised", k.Fingerprint, k.Type)}
	}
	return Advice{}
}

// maxKeyFile bounds what is read of a key file, in bytes.
const maxKeyFile = 64 << 10

// readKeys returns the keys that text stands for: one as text, or those in the
// file whose path it is, relative to dir.
func readKeys(text, dir string) ([]Key, error) {
	k, err := ParseKey(text)
	if err == nil {
		return []Key{k}, nil
	}
	if e := (*KeyError)(nil); errors.As(err, &e) && e.Private || strings.TrimSpace(text) == "" {
		return nil, err
	}
	path, looksLikePath := expand(strings.TrimSpace(text), dir)
	info, statErr := os.Stat(path)
	switch {
	case statErr == nil && !info.Mode().IsRegular():
		return nil, &KeyError{What: "the key's path is not a file", Instead: likeKey}
	case statErr == nil:
		return readKeyFile(path)
	case looksLikePath:
		return nil, &KeyError{What: "the file with the key does not exist or cannot be reached", Instead: "write the path of a .pub file relative to this file, or the key itself"}
	}
	return nil, err
}

// expand makes a path of text and says whether it looks like one.
func expand(text, dir string) (path string, ok bool) {
	ok = strings.HasSuffix(text, ".pub") || strings.HasPrefix(text, "~/") ||
		strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../") || strings.HasPrefix(text, "/")
	if strings.ContainsAny(text, "\n\r\x00") || len(text) > 1024 {
		return "", false
	}
	if rest, home := strings.CutPrefix(text, "~/"); home {
		base, err := os.UserHomeDir()
		if err != nil {
			return "", ok
		}
		return filepath.Join(base, rest), ok
	}
	if filepath.IsAbs(text) {
		return text, ok
	}
	return filepath.Join(dir, text), ok
}

func readKeyFile(path string) ([]Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &KeyError{What: "the file with the key cannot be read", Instead: "make it readable for you, or write the key itself"}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil || len(data) > maxKeyFile {
		return nil, &KeyError{What: "the file with the key cannot be read or is too big for one", Instead: likeKey}
	}
	if _, private := privateKeyLine(data); private {
		return nil, &KeyError{What: "the file holds a private key", Private: true, Instead: "write the path of the public key, which ends in .pub"}
	}
	if strings.Contains(string(data), " PUBLIC KEY") {
		_, err := ParseKey(strings.Join(strings.Fields(string(data)), " "))
		return nil, err
	}
	var keys []Key
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := ParseKey(line)
		if e := (*KeyError)(nil); errors.As(err, &e) {
			return nil, &KeyError{What: fmt.Sprintf("line %d of the key file: %s", i+1, e.What), Instead: e.Instead, Private: e.Private}
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, &KeyError{What: "the key file is empty", Instead: likeKey}
	}
	return keys, nil
}
