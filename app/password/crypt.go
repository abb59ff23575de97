package password

import (
	"crypto/md5"
	"fmt"
	"hash"
	"math"
	"strings"
)

// itoa64 is the alphabet of crypt(3) and phpass, which both write the lowest six
// bits first.
const itoa64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// maxCrypt is the longest password of crypt(3) in bytes, as libxcrypt and glibc
// have it (CRYPT_MAX_PASSPHRASE_SIZE); a longer one never matches.
const maxCrypt = 512

// cryptMD5 reads $1$salt$digest, and Apache's $apr1$, which differs in the prefix.
func cryptMD5(id, prefix string) legacy {
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			rest, ok := strings.CutPrefix(encoded, prefix)
			if !ok {
				return "", "", ErrUnknownScheme
			}
			salt, digest, ok := strings.Cut(rest, "$")
			if !ok || len(salt) > 8 || len(digest) != 22 || strings.Trim(digest, itoa64) != "" {
				return "", "", malformed(id, "fields")
			}
			return salt, digest, nil
		},
		open: func(salt string) (function, error) {
			if len(salt) > 8 {
				return function{}, malformed(id, "salt")
			}
			cost := Cost{Memory: 4096, Lanes: 1, Work: 1000}
			return function{cost, func(password string) (string, error) {
				if len(password) > maxCrypt {
					return "", nil
				}
				return md5Crypt(prefix, salt, password), nil
			}}, nil
		},
	}
}

// md5Crypt is the function of FreeBSD, as described in its crypt(3).
func md5Crypt(prefix, salt, password string) string {
	inner := sum(md5.New, password, salt, password)
	d := md5.New()
	d.Write([]byte(password + prefix + salt))
	for n := len(password); n > 0; n -= md5.Size {
		d.Write(inner[:min(n, md5.Size)])
	}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			d.Write([]byte{0})
		} else {
			d.Write([]byte(password[:1]))
		}
	}
	key := d.Sum(nil)
	for i := range 1000 {
		key = cryptRound(md5.New, i, key, []byte(password), []byte(salt))
	}
	return pick(key, [][]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}, {11}})
}

// cryptRound is one round of md5-crypt and SHA-crypt, which have it in common.
func cryptRound(h func() hash.Hash, i int, key, password, salt []byte) []byte {
	d := h()
	if i%2 == 1 {
		d.Write(password)
	} else {
		d.Write(key)
	}
	if i%3 != 0 {
		d.Write(salt)
	}
	if i%7 != 0 {
		d.Write(password)
	}
	if i%2 == 1 {
		d.Write(key)
	} else {
		d.Write(password)
	}
	return d.Sum(nil)
}

// pick writes groups of bytes, the first of a group as the highest bits, six bits
// a letter, lowest bits first.
func pick(b []byte, groups [][]int) string {
	var out strings.Builder
	for _, g := range groups {
		v, letters := 0, 0
		for _, i := range g {
			v = v<<8 | int(b[i])
			letters += 8
		}
		for range (letters + 5) / 6 {
			out.WriteByte(itoa64[v&63])
			v >>= 6
		}
	}
	return out.String()
}

const (
	shaCryptDefault = 5000
	shaCryptMin     = 1000
	shaCryptMax     = 1_000_000 // our bound; the specification's is 999,999,999
)

// cryptSHA reads $5$ and $6$, with rounds=N$ or without (Drepper, "Unix crypt
// using SHA-256 and SHA-512", version 0.6).
func cryptSHA(id, prefix string, h func() hash.Hash) legacy {
	size := h().Size()
	letters := (size*8 + 5) / 6
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			rest, ok := strings.CutPrefix(encoded, prefix)
			if !ok {
				return "", "", ErrUnknownScheme
			}
			i := strings.LastIndexByte(rest, '$')
			if i < 0 || len(rest)-i-1 != letters || strings.Trim(rest[i+1:], itoa64) != "" {
				return "", "", malformed(id, "digest")
			}
			return rest[:i], rest[i+1:], nil
		},
		open: func(settings string) (function, error) {
			rounds, salt := shaCryptDefault, settings
			if s, ok := strings.CutPrefix(settings, "rounds="); ok {
				digits, s, ok := strings.Cut(s, "$")
				n, err := decimal(digits)
				if !ok || err != nil {
					return function{}, malformed(id, "rounds")
				}
				rounds, salt = max(n, shaCryptMin), s
			}
			if strings.Contains(salt, "$") {
				return function{}, malformed(id, "salt")
			}
			salt = salt[:min(len(salt), 16)] // as the specification says
			cost, err := iterated(id, rounds, shaCryptMax)
			if err != nil {
				return function{}, err
			}
			return function{cost, func(password string) (string, error) {
				if len(password) > maxCrypt {
					return "", nil
				}
				return shaCrypt(h, rounds, salt, password), repeated(id, password, rounds)
			}}, nil
		},
	}
}

func shaCrypt(h func() hash.Hash, rounds int, salt, password string) string {
	size := h().Size()
	b := sum(h, password, salt, password)
	d := h()
	d.Write([]byte(password + salt))
	for n := len(password); n > 0; n -= size {
		d.Write(b[:min(n, size)])
	}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			d.Write(b)
		} else {
			d.Write([]byte(password))
		}
	}
	key := d.Sum(nil)
	// P and S: as many bytes as password and salt have, from digests of copies.
	p := stretch(sum(h, strings.Repeat(password, len(password))), len(password))
	s := stretch(sum(h, strings.Repeat(salt, 16+int(key[0]))), len(salt))
	for i := range rounds {
		key = cryptRound(h, i, key, p, s)
	}
	return pick(key, shaCryptOrder(size))
}

func stretch(digest []byte, n int) []byte {
	var out []byte
	for len(out) < n {
		out = append(out, digest[:min(n-len(out), len(digest))]...)
	}
	return out
}

// shaCryptOrder is the specification's order of bytes: three columns that rotate,
// one step each row, and the rest at the end.
func shaCryptOrder(size int) [][]int {
	third := size / 3
	var groups [][]int
	for i := range third {
		g := []int{i, i + third, i + 2*third}
		if size == 64 {
			// 0 21 42, 22 43 1, 44 2 23, 3 24 45, …
			g = [][]int{{g[0], g[1], g[2]}, {g[1], g[2], g[0]}, {g[2], g[0], g[1]}}[i%3]
		} else {
			// 0 10 20, 21 1 11, 12 22 2, 3 13 23, …
			g = [][]int{{g[0], g[1], g[2]}, {g[2], g[0], g[1]}, {g[1], g[2], g[0]}}[i%3]
		}
		groups = append(groups, g)
	}
	if size == 64 {
		return append(groups, []int{63})
	}
	return append(groups, []int{31, 30})
}

// phpassMaxLog bounds the rounds of phpass, 2^n: about a fifth of a second.
const phpassMaxLog = 20

// phpass reads prefix, log2 of the rounds as a letter, eight letters of salt, and
// the digest (openwall.com/phpass; Drupal 7 takes SHA-512 and cuts at 55 letters).
func phpass(id, prefix string, h func() hash.Hash) legacy {
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			rest, ok := strings.CutPrefix(encoded, prefix)
			if !ok {
				return "", "", ErrUnknownScheme
			}
			want := 22
			if prefix == "$S$" {
				want = 43
			}
			if len(rest) != 9+want || strings.Trim(rest[9:], itoa64) != "" {
				return "", "", malformed(id, "length")
			}
			return rest[:9], rest[9:], nil
		},
		open: func(settings string) (function, error) {
			if len(settings) != 9 {
				return function{}, malformed(id, "settings")
			}
			log := strings.IndexByte(itoa64, settings[0])
			if log < 7 || log > 30 {
				return function{}, malformed(id, "rounds")
			}
			cost, err := iterated(id, 1<<log, 1<<phpassMaxLog)
			if err != nil {
				return function{}, err
			}
			return function{cost, func(password string) (string, error) {
				if err := repeated(id, password, 1<<log); err != nil {
					return "", err
				}
				key := sum(h, settings[1:], password)
				for range 1 << log {
					key = sum(h, string(key), password)
				}
				out := littleEndian64(key)
				return out[:min(len(out), 43)], nil
			}}, nil
		},
	}
}

// littleEndian64 writes groups of three bytes, the first as the lowest bits.
func littleEndian64(b []byte) string {
	var groups [][]int
	for i := 0; i < len(b); i += 3 {
		var g []int
		for j := min(i+3, len(b)) - 1; j >= i; j-- {
			g = append(g, j)
		}
		groups = append(groups, g)
	}
	return pick(b, groups)
}

// djangoScrypt reads Django's scrypt$salt$N$r$p$hash.
func djangoScrypt() legacy {
	const id = "django-scrypt"
	return legacy{
		id: id,
		split: func(encoded string) (settings, digest string, err error) {
			rest, ok := strings.CutPrefix(encoded, "scrypt$")
			if !ok {
				return "", "", ErrUnknownScheme
			}
			i := strings.LastIndexByte(rest, '$')
			if i < 0 {
				return "", "", malformed(id, "fields")
			}
			raw, err := b64.DecodeString(strings.TrimRight(rest[i+1:], "="))
			if err != nil || len(raw) != 64 {
				return "", "", malformed(id, "hash")
			}
			return rest[:i], b64.EncodeToString(raw), nil
		},
		open: func(settings string) (function, error) {
			fields := strings.Split(settings, "$")
			if len(fields) != 4 {
				return function{}, malformed(id, "fields")
			}
			n, err := decimal(fields[1])
			r, err2 := decimal(fields[2])
			p, err3 := decimal(fields[3])
			log := math.Log2(float64(n))
			if err != nil || err2 != nil || err3 != nil || n < 2 || log != math.Trunc(log) {
				return function{}, malformed(id, "N, r or p")
			}
			params := scryptParams{logN: uint8(log), r: r, p: p, salt: []byte(fields[0])}
			if err := params.bounds(); err != nil {
				return function{}, fmt.Errorf("%s: %w", id, err)
			}
			return function{params.cost(), func(password string) (string, error) {
				key, err := params.compute(password, 64)
				return b64.EncodeToString(key), err
			}}, nil
		},
	}
}
