package mfa

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"strings"
	"time"
)

// What every authenticator app can do, RFC 6238 with SHA-1. The collisions of SHA-1
// are no weakness of HMAC.
const (
	// Step is how long one code is shown.
	Step   = 30 * time.Second
	digits = 6
	// skew is how many steps a clock may be off.
	skew = 1
	// secretLength is that of the output of the hash (RFC 4226, R6).
	secretLength = 20
)

// ErrSecret says that a text is not the secret of an authenticator app.
var ErrSecret = errors.New("unusable secret")

// secretEncoding is what apps take.
var secretEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// hotp is the code of a counter, RFC 4226, 5.3.
func hotp(h func() hash.Hash, secret []byte, counter uint64, digits int) string {
	mac := hmac.New(h, secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, counter))
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	mod := uint32(1)
	for range digits {
		mod *= 10
	}
	return fmt.Sprintf("%0*d", digits, n%mod)
}

// stepOf is the number of the step at this time.
func stepOf(at time.Time) int64 { return at.Unix() / int64(Step/time.Second) }

// match returns the step whose code this is, of those near the time, latest first,
// that are after the step last taken. It compares with all of them, in constant time.
func match(secret []byte, code string, at time.Time, last int64) (step int64, ok bool) {
	now := stepOf(at)
	for s := now - skew; s <= now+skew; s++ {
		same := subtle.ConstantTimeCompare([]byte(hotp(sha1.New, secret, uint64(s), digits)), []byte(code)) == 1
		if same && s > last {
			step, ok = s, true
		}
	}
	return step, ok
}

// Code returns what an authenticator app shows at this time; the secret is in
// base32, blanks and case do not matter. It serves tests and tools. The error wraps
// [ErrSecret].
func Code(secret string, at time.Time) (string, error) {
	raw, err := secretEncoding.DecodeString(strings.TrimRight(strings.ToUpper(strings.ReplaceAll(secret, " ", "")), "="))
	if err != nil || len(raw) == 0 {
		return "", fmt.Errorf("not base32: %w", ErrSecret)
	}
	return hotp(sha1.New, raw, uint64(stepOf(at)), digits), nil
}

// uri is what apps read from a QR code.
func uri(issuer, label string, secret []byte) string {
	// Apps read neither + for a blank nor anything but %3A as the colon.
	name := url.PathEscape(label)
	query := "secret=" + secretEncoding.EncodeToString(secret)
	if issuer != "" {
		name = url.PathEscape(issuer) + ":" + name
		query += "&issuer=" + strings.ReplaceAll(url.QueryEscape(issuer), "+", "%20")
	}
	return "otpauth://totp/" + name + "?" + query
}
