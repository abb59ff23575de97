package seclog

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/app/keyring"
)

// ErrHead says that text is no head.
var ErrHead = errors.New("no head of a security log")

const (
	headPurpose   = "seclog head"
	personPurpose = "seclog person"
	headPrefix    = "seclog1"
)

// A Head stands for an entry and everything before it.
type Head struct {
	Seq   int64 // the first entry has 1
	Hash  [32]byte
	KeyID string // of the ring's key that made the MAC
	MAC   [32]byte
}

// String returns the head as text without blanks, for [ParseHead].
func (h Head) String() string {
	return fmt.Sprintf("%s:%d:%x:%s:%x", headPrefix, h.Seq, h.Hash, h.KeyID, h.MAC)
}

// ParseHead reads what [Head.String] writes, and nothing else. The error wraps
// [ErrHead]. It does not verify the MAC.
func ParseHead(text string) (Head, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 5 || parts[0] != headPrefix {
		return Head{}, ErrHead
	}
	seq, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return Head{}, ErrHead
	}
	h := Head{Seq: seq, KeyID: parts[3]}
	for part, to := range map[string]*[32]byte{parts[2]: &h.Hash, parts[4]: &h.MAC} {
		b, err := hex.DecodeString(part)
		if err != nil || len(b) != len(to) {
			return Head{}, ErrHead
		}
		*to = [32]byte(b)
	}
	if seq < 1 || h.KeyID == "" || h.String() != text {
		return Head{}, ErrHead
	}
	return h, nil
}

// An Entry is what a store keeps of one event.
type Entry struct {
	Head
	Line string // one line of JSON, less than 64 KiB
}

// chain returns the hash of an entry after the one with the hash before.
func chain(before [32]byte, seq int64, line string) [32]byte {
	h := sha256.New()
	h.Write([]byte(headPrefix))
	h.Write(before[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(seq)))
	h.Write([]byte(line)) // the last one, so its length is implied
	return [32]byte(h.Sum(nil))
}

func mac(key keyring.Key, seq int64, hash [32]byte) [32]byte {
	m := hmac.New(sha256.New, key.Bytes[:])
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(seq)))
	m.Write(hash[:])
	return [32]byte(m.Sum(nil))
}
