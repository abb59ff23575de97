package site

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxFile bounds what is read of a site file, in bytes: a thousand servers take
// a fifth of it.
const maxFile = 1 << 20

// Load reads the site file at path and the key files that it names. Problems in
// the file come as [*Problems]; other errors say that it could not be read.
//
// controls are the IDs of all controls there are, for exceptions to name; if
// none are given, what exceptions name is not checked.
func Load(path string, controls ...string) (*Site, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, controls...)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the site file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the site file: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading the site file %s: it is bigger than %d bytes", path, maxFile)
	}
	return data, nil
}

// Parse is [Load] for a file whose bytes are at hand. path stands in problems,
// and paths of key files are relative to its directory. Errors are of type
// [*Problems].
func Parse(path string, data []byte, controls ...string) (*Site, error) {
	return parse(path, data, false, controls)
}

func parse(path string, data []byte, partial bool, controls []string) (*Site, error) {
	s := &Site{}
	d := read(path, data, s, partial)
	if d.root.Kind != 0 {
		c := checker{document: d, site: s, dir: filepath.Dir(path), controls: controls}
		c.check()
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	s.Path, s.Digest = path, hex.EncodeToString(sum[:])
	s.setDefaults()
	return s, nil
}
