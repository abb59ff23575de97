// Package breached knows passwords that attackers try first (guide 4.3, SP
// 800-63B-4 section 3.1.1.2, OWASP ASVS 6.2.4 and 6.2.12).
//
//	found, err := breached.Common().Contains(ctx, "Password2024!")
//
// A [List] is one file of truncated hashes, sorted, read in place: a look-up is two
// short reads, however large it is. It never misses an entry, and finds what is not
// one at the rate that [List.FalsePositives] states.
//
// [Common] is the list that ships inside the package: common passwords, joined,
// repeated, walked along the keyboard and suffixed by the rules of [Expand], so that
// it bites under a policy of 15 characters and under complexity rules, where plain
// lists of common passwords hold next to nothing. A list of one's own, from words
// or from a file of SHA-1 hashes such as Pwned Passwords, is made by
//
//	go run github.com/holdfast-security/holdfast/app/breached/build -o list.bin -hashes pwned.txt
//
// and opened by [Open]. [Range] asks a service in place of a file.
//
// Look-ups ignore letter case, beside the exact spelling; a list made of hashes
// knows exact spellings only.
//
// If a list cannot be read, Contains fails with an error and says nothing about
// the password; a file that is cut off or damaged in its structure does not open.
package breached

import (
	"bytes"
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"

	"golang.org/x/text/cases"
)

// ErrFormat says that a file is no list, or a damaged one.
var ErrFormat = errors.New("not a list of breached passwords")

// The file: magic, width of a remainder in bytes, number of directory bits, six
// bytes of zero, number of keys; a directory of offsets, in keys, one for each value
// of the first bits of a key and one at the end; the remainders, sorted in each
// bucket. A key is the first 64 bits of the password's SHA-1, which is what
// published lists have; all numbers are big-endian.
const (
	magic      = "hfbreach"
	headerSize = 24
	maxBits    = 32
	maxBucket  = 1 << 20 // keys; more is no list of hashes
)

// A List is a set of passwords in a file or in memory. It may be used by many
// goroutines at a time.
type List struct {
	r      io.ReaderAt
	closer io.Closer
	width  int // bytes
	bits   int
	n      int64
}

//go:generate go run ./build -o common.bin

//go:embed common.bin
var common []byte

// Common returns the list that ships with this package.
func Common() *List {
	l, err := New(bytes.NewReader(common), int64(len(common)))
	if err != nil {
		panic(err) // the file is part of the package, and a test reads it
	}
	return l
}

// Open opens a list file, which must stay as it is while it is open.
func Open(path string) (*List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var l *List
		if l, err = New(f, info.Size()); err == nil {
			l.closer = f
			return l, nil
		}
	}
	f.Close()
	return nil, fmt.Errorf("%s: %w", path, err)
}

// New reads a list of this size in bytes from r.
func New(r io.ReaderAt, size int64) (*List, error) {
	var h [headerSize]byte
	if _, err := r.ReadAt(h[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	l := &List{r: r, width: int(h[8]), bits: int(h[9]), n: int64(binary.BigEndian.Uint64(h[16:]))}
	if size < headerSize || string(h[:8]) != magic || !bytes.Equal(h[10:16], make([]byte, 6)) ||
		l.width < 1 || l.width > 8 || l.bits > maxBits || l.bits+8*l.width > 64 || l.n < 0 || l.n > size {
		return nil, fmt.Errorf("header: %w", ErrFormat)
	}
	if want := l.keys() + l.n*int64(l.width); size != want {
		return nil, fmt.Errorf("%d bytes, the header says %d: %w", size, want, ErrFormat)
	}
	return l, nil
}

// keys returns where the remainders begin.
func (l *List) keys() int64 { return headerSize + 8*(int64(1)<<l.bits+1) }

// Close closes the file of [Open].
func (l *List) Close() error {
	if l.closer == nil {
		return nil
	}
	return l.closer.Close()
}

// Len returns the number of entries.
func (l *List) Len() int64 { return l.n }

// FalsePositives returns the rate at which Contains finds passwords that are not
// in the list, two look-ups a password counted.
func (l *List) FalsePositives() float64 {
	rate := 2 * float64(l.n)
	for range l.bits + 8*l.width {
		rate /= 2
	}
	return min(rate, 1)
}

// Contains reports whether the password, as it is or in any letter case, is in the
// list.
func (l *List) Contains(ctx context.Context, password string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	for _, form := range []string{password, fold(password)} {
		found, err := l.has(key(form))
		if found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func (l *List) has(key uint64) (bool, error) {
	var ends [16]byte
	bucket := int64(key >> (64 - l.bits)) // a shift by 64 gives 0
	if _, err := l.r.ReadAt(ends[:], headerSize+8*bucket); err != nil {
		return false, fmt.Errorf("read the directory: %w", err)
	}
	from, to := int64(binary.BigEndian.Uint64(ends[:8])), int64(binary.BigEndian.Uint64(ends[8:]))
	if from < 0 || from > to || to > l.n || to-from > maxBucket {
		return false, fmt.Errorf("directory at %d: %w", bucket, ErrFormat)
	}
	w := int64(l.width)
	block := make([]byte, (to-from)*w)
	if _, err := l.r.ReadAt(block, l.keys()+from*w); err != nil && !(errors.Is(err, io.EOF) && len(block) == 0) {
		return false, fmt.Errorf("read the list: %w", err)
	}
	want := remainder(key, l.bits, l.width)
	i := sort.Search(int(to-from), func(i int) bool {
		return bytes.Compare(block[int64(i)*w:int64(i+1)*w], want) >= 0
	})
	return int64(i) < to-from && bytes.Equal(block[int64(i)*w:int64(i+1)*w], want), nil
}

// remainder returns the bits of a key that follow those of the directory.
func remainder(key uint64, bits, width int) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], key<<bits)
	return b[:width]
}

func key(password string) uint64 {
	sum := sha1.Sum([]byte(password))
	return binary.BigEndian.Uint64(sum[:8])
}

// fold returns text in which letter case makes no difference.
func fold(s string) string { return cases.Fold().String(s) }
