package breached

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"slices"
	"strings"
)

// WriteWords writes a list of these passwords, in any letter case. Width is the
// number of bytes that an entry takes beside the directory, 1 to 7: each one more
// divides the rate of false positives by 256; 3 means about 8 in a million.
func WriteWords(w io.Writer, passwords iter.Seq[string], width int) error {
	var keys []uint64
	for p := range passwords {
		keys = append(keys, key(fold(p)))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	return write(w, slices.Values(keys), int64(len(keys)), width)
}

// WriteHashes writes a list of a text file of SHA-1 hashes, in hex, one in a line,
// sorted, with anything after a colon skipped: the format of Pwned Passwords,
// ordered by hash. It reads the file twice and holds none of it. The error says in
// which line the file is not sorted or is no hash.
func WriteHashes(w io.Writer, sorted io.ReadSeeker, width int) error {
	var failed error
	keys := func(yield func(uint64) bool) {
		if _, failed = sorted.Seek(0, io.SeekStart); failed != nil {
			return
		}
		failed = eachHash(sorted, yield)
	}
	var n int64
	for range keys {
		n++
	}
	if failed != nil {
		return failed
	}
	if err := write(w, keys, n, width); err != nil {
		return err
	}
	return failed
}

// eachHash yields the keys of a file, each once.
func eachHash(r io.Reader, yield func(uint64) bool) error {
	lines := bufio.NewScanner(r)
	last, number := uint64(0), 0
	for lines.Scan() {
		number++
		text, _, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if text == "" {
			continue
		}
		hash, err := hex.DecodeString(text)
		if err != nil || len(hash) != 20 {
			return fmt.Errorf("line %d is no SHA-1 hash in hex", number)
		}
		k := binary.BigEndian.Uint64(hash)
		if number > 1 && k < last {
			return fmt.Errorf("line %d: the hashes are not sorted", number)
		}
		if number > 1 && k == last {
			continue
		}
		last = k
		if !yield(k) {
			return nil
		}
	}
	return lines.Err()
}

// write writes n sorted keys.
func write(w io.Writer, keys iter.Seq[uint64], n int64, width int) error {
	if width < 1 || width > 7 {
		return fmt.Errorf("an entry of %d bytes, it has 1 to 7", width)
	}
	// 64 to 128 keys in a bucket: the directory costs a bit or less for a key.
	dir := min(maxBits, max(0, bits.Len64(uint64(n))-7), 64-8*width)
	out := bufio.NewWriterSize(w, 1<<16)
	header := make([]byte, headerSize)
	copy(header, magic)
	header[8], header[9] = byte(width), byte(dir)
	binary.BigEndian.PutUint64(header[16:], uint64(n))
	out.Write(header) // bufio keeps the first error for Flush
	var offset, next uint64
	put := func() { out.Write(binary.BigEndian.AppendUint64(nil, offset)) }
	for k := range keys {
		for bucket := k >> (64 - dir); next <= bucket; next++ {
			put()
		}
		offset++
	}
	for ; next <= 1<<dir; next++ {
		put()
	}
	if int64(offset) != n {
		return fmt.Errorf("the list changed while it was read: %d keys, then %d", n, offset)
	}
	for k := range keys {
		out.Write(remainder(k, dir, width))
	}
	return out.Flush()
}
