// Package daemon carries holdfastd for every supported server inside holdfast,
// so that one file is the whole installation at the desk.
//
// The programs are built and compressed by `make build` before holdfast is; a
// holdfast that was built without them works for everything that needs no
// server. If one is missing or damaged, [Binaries.For] fails and nothing is
// sent.
package daemon

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

//go:embed all:bin
var files embed.FS

// ErrMissing says that this holdfast carries no daemon for an architecture.
var ErrMissing = errors.New("this holdfast was built without the daemon")

// ErrDamaged says that a daemon is not the one that was built.
var ErrDamaged = errors.New("the daemon in this holdfast is damaged")

// Binaries are the daemons for Linux that this program carries.
type Binaries struct{}

// Digests returns the SHA-256 of each program in hex, by Go's name of its
// architecture; none if this holdfast was built without.
func (Binaries) Digests() map[string]string {
	all := map[string]string{}
	names, err := fs.Glob(files, "bin/linux-*.sha256")
	if err != nil {
		return all // only a malformed pattern fails
	}
	for _, name := range names {
		sum, err := files.ReadFile(name)
		if err != nil {
			continue
		}
		arch := strings.TrimSuffix(strings.TrimPrefix(name, "bin/linux-"), ".sha256")
		all[arch] = strings.TrimSpace(string(sum))
	}
	return all
}

// For returns the program for an architecture. It fails with [ErrMissing] if
// there is none and with [ErrDamaged] if it is not what Digests says.
func (b Binaries) For(arch string) ([]byte, error) {
	packed, err := files.ReadFile("bin/linux-" + arch + ".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w for linux/%s", ErrMissing, arch)
	}
	if err != nil {
		return nil, err
	}
	unpack, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%w: linux/%s: %w", ErrDamaged, arch, err)
	}
	program, err := io.ReadAll(unpack)
	if err != nil {
		return nil, fmt.Errorf("%w: linux/%s: %w", ErrDamaged, arch, err)
	}
	sum := sha256.Sum256(program)
	if hex.EncodeToString(sum[:]) != b.Digests()[arch] {
		return nil, fmt.Errorf("%w: linux/%s", ErrDamaged, arch)
	}
	return program, nil
}
