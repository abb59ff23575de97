package sshd

import (
	"encoding/base64"
	"fmt"
	"math/bits"
	"strings"
)

// A Key is one line of an authorized_keys file.
type Key struct {
	// Line counts from 1.
	Line int
	// Options stand before the key, as they are written: from="…", command="…".
	Options []string
	// Type is the key's, such as ssh-ed25519.
	Type string
	// Bits is the length of an RSA key's modulus, 0 for other types.
	Bits int
	// Blob is the key itself, in base64; two lines with one Blob are one key.
	Blob    string
	Comment string
}

// IsRSA reports whether the length of the key is a matter of choice.
func (k Key) IsRSA() bool { return k.Type == "ssh-rsa" || k.Type == "ssh-rsa-cert-v01@openssh.com" }

// MinRSA is the shortest RSA key that is good for something new, in bits: NIST
// SP 800-57 part 1, table 2, gives 3072 bits the 128 bits of security that
// ed25519 has.
const MinRSA = 3072

// Strong is an error that says why the key must not be newly let in; nil if it
// may. One that is installed is a finding and keeps working.
func (k Key) Strong() error {
	if k.IsRSA() && k.Bits < MinRSA {
		return fmt.Errorf("%s is too short: an RSA key needs %d bits or more, and an ed25519 key is shorter and stronger", k, MinRSA)
	}
	if k.Type == "ssh-dss" {
		return fmt.Errorf("%s is of a type that OpenSSH has given up; an ed25519 key is not", k)
	}
	return nil
}

// Option returns the value of an option, without quotes; ok says whether it is
// there.
func (k Key) Option(name string) (value string, ok bool) {
	for _, o := range k.Options {
		n, v, _ := strings.Cut(o, "=")
		if strings.EqualFold(n, name) {
			return strings.ReplaceAll(strings.Trim(v, `"`), `\"`, `"`), true
		}
	}
	return "", false
}

// String describes the key without giving it away in full.
func (k Key) String() string {
	name := k.Type
	if k.Bits > 0 {
		name = fmt.Sprintf("%s of %d bits", k.Type, k.Bits)
	}
	if k.Comment != "" {
		name += " (" + k.Comment + ")"
	}
	return name
}

// ParseAuthorizedKeys returns the keys in an authorized_keys file. Lines that
// hold none are passed over, as sshd does.
func ParseAuthorizedKeys(content string) []Key {
	var keys []Key
	number := 0
	for line := range strings.Lines(content) {
		number++
		k, err := ParseKey(line)
		if err != nil {
			continue
		}
		k.Line = number
		keys = append(keys, k)
	}
	return keys
}

// ParseKey reads one line in authorized_keys format (sshd(8)): options, if any,
// type, key in base64, comment.
func ParseKey(line string) (Key, error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return Key{}, fmt.Errorf("the line holds no key")
	}
	if k, err := parseBare(line); err == nil {
		return k, nil
	}
	options, rest := cutOptions(line)
	k, err := parseBare(rest)
	k.Options = options
	return k, err
}

// cutOptions parts the options, which may hold quoted spaces and commas, from
// the rest of the line.
func cutOptions(line string) (options []string, rest string) {
	quoted, from := false, 0
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			options = append(options, line[from:i])
			from = i + 1
		case (c == ' ' || c == '\t') && !quoted:
			return append(options, line[from:i]), strings.TrimLeft(line[i:], " \t")
		}
	}
	return nil, ""
}

func parseBare(line string) (Key, error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return Key{}, fmt.Errorf("the line holds no key")
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return Key{}, fmt.Errorf("the key is not base64")
	}
	name, rest, ok := cutString(blob)
	if !ok || string(name) != words[0] || len(rest) == 0 {
		return Key{}, fmt.Errorf("the key is not of the type %q that is written before it", words[0])
	}
	k := Key{Type: words[0], Blob: words[1], Comment: strings.Join(words[2:], " ")}
	if k.Type == "ssh-rsa" {
		_, rest, ok := cutString(rest) // the exponent
		if !ok {
			return Key{}, fmt.Errorf("the RSA key ends too early")
		}
		modulus, _, ok := cutString(rest)
		if !ok {
			return Key{}, fmt.Errorf("the RSA key ends too early")
		}
		k.Bits = bitLen(modulus)
	}
	return k, nil
}

// bitLen is the length in bits of a big-endian number.
func bitLen(n []byte) int {
	for i, b := range n {
		if b != 0 {
			return 8*(len(n)-i-1) + bits.Len8(b)
		}
	}
	return 0
}
