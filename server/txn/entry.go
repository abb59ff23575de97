package txn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/holdfast-security/holdfast/server"
)

// A saved is an entry as a snapshot holds it. JSON strings are Unicode and
// files are not, so content and attributes are bytes.
type saved struct {
	Mode    fs.FileMode       `json:"mode"`
	Owner   string            `json:"owner"`
	Group   string            `json:"group"`
	Xattrs  map[string][]byte `json:"xattrs,omitempty"`
	Content []byte            `json:"content"`
}

func save(e server.Entry) *saved {
	s := &saved{Mode: e.Mode, Owner: e.Owner, Group: e.Group, Content: []byte(e.Content)}
	for k, v := range e.Xattrs {
		if s.Xattrs == nil {
			s.Xattrs = map[string][]byte{}
		}
		s.Xattrs[k] = []byte(v)
	}
	return s
}

func (s *saved) entry() server.Entry {
	e := server.Entry{Mode: s.Mode, Owner: s.Owner, Group: s.Group, Content: string(s.Content)}
	for k, v := range s.Xattrs {
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[k] = string(v)
	}
	return e
}

// digest tells entries apart; nil, for what is not there, gives "".
func (s *saved) digest() string {
	if s == nil {
		return ""
	}
	mode := s.Mode
	if mode&fs.ModeSymlink != 0 {
		mode = fs.ModeSymlink // a link's permission bits mean nothing
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d %q %q %d\n", mode, s.Owner, s.Group, len(s.Content))
	h.Write(s.Content)
	for _, k := range slices.Sorted(maps.Keys(s.Xattrs)) {
		fmt.Fprintf(h, "%q %q\n", k, s.Xattrs[k])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// look returns what is at path, nil if nothing is.
func look(ctx context.Context, r server.Reader, path string) (*saved, error) {
	e, err := r.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return save(e), nil
}
