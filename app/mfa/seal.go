package mfa

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
)

// The purposes of keys, and so of sealed texts: none is taken for the other.
const (
	factorPurpose    = "mfa secrets"
	enrolmentPurpose = "mfa enrolments"
)

// MaxSealed bounds a sealed secret in bytes; a store has room for it.
const MaxSealed = 200

// seal encrypts a secret for one account: the key's id, a dot, nonce and text.
func seal(keys *keyring.Ring, purpose, account string, plain []byte) string {
	key := keys.Current(purpose)
	return key.ID + "." + base64.RawURLEncoding.EncodeToString(aead(key).Seal(nil, nil, plain, []byte(account)))
}

// unseal decrypts what seal made, and reports whether the key is the current one.
func unseal(keys *keyring.Ring, purpose, account, sealed string) (plain []byte, current bool, err error) {
	id, text, _ := strings.Cut(sealed, ".")
	key, ok := keys.Find(purpose, id)
	if !ok {
		return nil, false, fmt.Errorf("sealed under key %.8q, which is not in the ring: %w", id, ErrSecret)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, false, fmt.Errorf("sealed text is not base64: %w", ErrSecret)
	}
	plain, err = aead(key).Open(nil, nil, raw, []byte(account))
	if err != nil {
		return nil, false, fmt.Errorf("sealed text was changed, or is of another account: %w", ErrSecret)
	}
	return plain, id == keys.Current(purpose).ID, nil
}

// aead chooses nonces by itself; the few secrets of a program are far from the
// 2^32 messages of one key.
func aead(key keyring.Key) cipher.AEAD {
	block, err := aes.NewCipher(key.Bytes[:])
	if err != nil {
		panic(err) // only for other lengths of keys
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for other sizes of blocks
	}
	return a
}

// An Enrolment is a secret on its way into an app.
type Enrolment struct {
	// Secret is for typing: base32.
	Secret string
	// URI is for a QR code: otpauth://totp/...
	URI string
	// Sealed goes into a hidden field of the form that asks for the first code. It
	// is encrypted, bound to the account and good for [EnrolmentLife].
	Sealed string
}

// EnrolmentLife is how long somebody may take to set up the app.
const EnrolmentLife = 15 * time.Minute

// Enroll makes a new secret for an account. Label is what the app shows beside the
// issuer, usually the login id. Nothing is stored, and a factor that the account has
// goes on working, until [Service.Confirm].
func (s *Service[S]) Enroll(account, label string) Enrolment {
	secret := make([]byte, secretLength)
	rand.Read(secret) // never fails
	until := binary.BigEndian.AppendUint64(nil, uint64(time.Now().Add(EnrolmentLife).Unix()))
	return Enrolment{
		Secret: secretEncoding.EncodeToString(secret),
		URI:    uri(s.Issuer, label, secret),
		Sealed: seal(s.Keys, enrolmentPurpose, account, append(until, secret...)),
	}
}

// openEnrolment returns the secret of an enrolment.
func (s *Service[S]) openEnrolment(account, sealed string, now time.Time) ([]byte, error) {
	plain, _, err := unseal(s.Keys, enrolmentPurpose, account, sealed)
	if err != nil || len(plain) != 8+secretLength || now.Unix() >= int64(binary.BigEndian.Uint64(plain)) {
		return nil, ErrDenied
	}
	return plain[8:], nil
}
