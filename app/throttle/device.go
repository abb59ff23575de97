package throttle

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"strings"
	"time"
)

// DeviceCookie is the name of the cookie that [Limiter.Cookie] makes.
const DeviceCookie = "__Host-device"

// maxDevices is how many people's logins one browser remembers.
const maxDevices = 5

// A device token is base64url(expiry, nonce) "." key id "." base64url(mac). The
// MAC covers the login id, which is not in the token: whoever finds the cookie
// does not learn whose it is.
const (
	devicePurpose = "device cookie"
	nonceLength   = 16
	keyIDLength   = 6
	maxDevice     = 1024 // bytes of a cookie that is looked at
)

var deviceEncoding = base64.RawURLEncoding.Strict()

// Trusted returns the value of a device cookie that vouches for this browser and
// the account with this login id. It keeps what the browser's old value says about
// other accounts, the newest five in all. It is given out after a successful login
// or for a link that was mailed to the owner, and never else.
func (l *Limiter) Trusted(old, name string) string {
	now := time.Now()
	payload := binary.BigEndian.AppendUint64(nil, uint64(now.Add(l.trust()).Unix()))
	nonce := make([]byte, nonceLength)
	rand.Read(nonce) // never fails
	payload = append(payload, nonce...)
	key := l.Keys.Current(devicePurpose)
	all := []string{deviceEncoding.EncodeToString(payload) + "." + key.ID + "." + deviceEncoding.EncodeToString(deviceMAC(key.Bytes, name, payload))}
	for token := range deviceTokens(old) {
		if _, mine := l.checkToken(token, name, now); !mine && len(all) < maxDevices && wellFormed(token) {
			all = append(all, token)
		}
	}
	return strings.Join(all, "~")
}

// Cookie wraps a value of [Limiter.Trusted] in a cookie that scripts cannot read
// and that is sent over TLS alone.
func (l *Limiter) Cookie(value string) *http.Cookie {
	return &http.Cookie{
		Name: DeviceCookie, Value: value, Path: "/", MaxAge: int(l.trust().Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// checkDevice looks for a valid token for this name in a cookie's value and
// returns its nonce.
func (l *Limiter) checkDevice(value, name string, now time.Time) (nonce []byte, ok bool) {
	for token := range deviceTokens(value) {
		if nonce, ok = l.checkToken(token, name, now); ok {
			return nonce, true
		}
	}
	return nil, false
}

func (l *Limiter) checkToken(token, name string, now time.Time) (nonce []byte, ok bool) {
	payload, id, mac, ok := splitToken(token)
	if !ok {
		return nil, false
	}
	key, ok := l.Keys.Find(devicePurpose, id)
	if !ok || !hmac.Equal(mac, deviceMAC(key.Bytes, name, payload)) {
		return nil, false
	}
	if now.Unix() >= int64(binary.BigEndian.Uint64(payload)) {
		return nil, false
	}
	return payload[8:], true
}

func wellFormed(token string) bool {
	_, _, _, ok := splitToken(token)
	return ok
}

func splitToken(token string) (payload []byte, id string, mac []byte, ok bool) {
	head, rest, _ := strings.Cut(token, ".")
	id, tail, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, "", nil, false
	}
	payload, err := deviceEncoding.DecodeString(head)
	if err != nil || len(payload) != 8+nonceLength {
		return nil, "", nil, false
	}
	if k, err := deviceEncoding.DecodeString(id); err != nil || len(k) != keyIDLength {
		return nil, "", nil, false
	}
	mac, err = deviceEncoding.DecodeString(tail)
	if err != nil || len(mac) != sha256.Size {
		return nil, "", nil, false
	}
	return payload, id, mac, true
}

// deviceTokens yields at most maxDevices tokens.
func deviceTokens(value string) func(func(string) bool) {
	return func(yield func(string) bool) {
		if value == "" || len(value) > maxDevice {
			return
		}
		for i, token := range strings.SplitN(value, "~", maxDevices+1) {
			if i == maxDevices || !yield(token) {
				return
			}
		}
	}
}

func deviceMAC(key [32]byte, name string, payload []byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(payload) // of a fixed length, so name cannot run into it
	mac.Write([]byte(name))
	return mac.Sum(nil)
}

func (l *Limiter) trust() time.Duration {
	if l.Trust <= 0 {
		return DefaultTrust
	}
	return l.Trust
}
