// Package factor is the second factor of an admin (guide 3.10) as numbers and
// text: the key that makes codes which change every 30 seconds (RFC 6238), the
// recovery codes, and the file in which pam_google_authenticator keeps both on a
// server.
//
// It reads no clock and no file. What it cannot read is an error; a code that it
// cannot read is a wrong one.
package factor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Step is how long a code lasts.
const Step = 30 * time.Second

// Recoveries is how many recovery codes an enrolment has.
const Recoveries = 5

// keySize is the length of a new key in bytes: that of its hash (RFC 4226,
// section 4, R6).
const keySize = 20

// digits is the length of a code, as every app shows it.
const digits = 6

// An Enrolment is what an admin's app and the servers share.
type Enrolment struct {
	// Key makes the codes, 16 bytes or more (RFC 4226, section 4, R6).
	Key []byte
	// Recovery are codes of eight digits, each good for one login on a server.
	Recovery []string
}

// base32Key is how apps and pam_google_authenticator write a key.
var base32Key = base32.StdEncoding.WithPadding(base32.NoPadding)

// New returns a random enrolment.
func New() Enrolment {
	e := Enrolment{Key: make([]byte, keySize), Recovery: Codes(Recoveries)}
	rand.Read(e.Key) // never fails
	return e
}

// Codes returns n different random codes of eight digits such as
// pam_google_authenticator takes in place of one that changes: none begins with
// a zero.
func Codes(n int) []string {
	var all []string
	for len(all) < n {
		i, err := rand.Int(rand.Reader, big.NewInt(90_000_000))
		if err != nil {
			panic(err) // crypto/rand.Reader never fails
		}
		if code := fmt.Sprint(10_000_000 + i.Int64()); !slices.Contains(all, code) {
			all = append(all, code)
		}
	}
	return all
}

// String returns the enrolment as the text in which it is kept and sent: the key
// in base32 and the recovery codes, with spaces between them. It is a secret.
func (e Enrolment) String() string {
	return strings.Join(append([]string{e.Text()}, e.Recovery...), " ")
}

// Text returns the key in base32, as people type it into an app.
func (e Enrolment) Text() string { return base32Key.EncodeToString(e.Key) }

// ParseEnrolment is the inverse of [Enrolment.String]. Its error holds no part of
// the text.
func ParseEnrolment(text string) (Enrolment, error) {
	words := strings.Split(text, " ")
	key, err := base32Key.DecodeString(words[0])
	if err != nil || len(key) < 16 || base32Key.EncodeToString(key) != words[0] {
		return Enrolment{}, errors.New("a second factor does not begin with a key of 128 bits or more in base32")
	}
	for _, code := range words[1:] {
		if !isRecovery(code) {
			return Enrolment{}, errors.New("a recovery code is not eight digits")
		}
	}
	return Enrolment{Key: key, Recovery: words[1:]}, nil
}

func isRecovery(code string) bool {
	return len(code) == 8 && code[0] != '0' && strings.Trim(code, "0123456789") == ""
}

// Code returns the code at a time (RFC 6238 with SHA-1, 30 seconds and six
// digits, which is what every app can do).
func (e Enrolment) Code(at time.Time) string {
	return hotp(e.Key, uint64(at.Unix()/int64(Step/time.Second)))
}

// hotp is RFC 4226, section 5.3.
func hotp(key []byte, counter uint64) string {
	mac := hmac.New(sha1.New, key)
	binary.Write(mac, binary.BigEndian, counter) // a hash never fails
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	number := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", digits, number%1_000_000)
}

// Verify reports whether code is that of now, or of one step before or after it.
func (e Enrolment) Verify(code string, now time.Time) bool {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	good := 0
	for _, off := range []time.Duration{-Step, 0, Step} {
		good |= subtle.ConstantTimeCompare([]byte(e.Code(now.Add(off))), []byte(code))
	}
	return good == 1
}

// URI is what an app reads from a QR code: the key under the names of a site and
// an account. It is a secret.
func (e Enrolment) URI(site, account string) string {
	q := url.Values{"secret": {e.Text()}, "issuer": {site}}
	return "otpauth://totp/" + url.PathEscape(site) + ":" + url.PathEscape(account) + "?" + q.Encode()
}
