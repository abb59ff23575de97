package resource

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// A Dir is a directory with permissions and owner; what is in it is no concern
// of it. Its parent must exist.
type Dir struct {
	// Path is absolute and clean.
	Path string `json:"path"`
	// Mode are the permission bits, setuid, setgid and sticky included.
	Mode fs.FileMode `json:"mode"`
	// Owner and Group are names; empty means root.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
}

// Name returns "directory PATH".
func (d Dir) Name() string { return "directory " + d.Path }

// Want returns permissions and owners.
func (d Dir) Want() server.State {
	return entryState(server.Entry{Mode: fs.ModeDir | d.Mode, Owner: rootIfEmpty(d.Owner), Group: rootIfEmpty(d.Group)})
}

// Get returns permissions and owners, or the empty state if there is nothing.
func (d Dir) Get(ctx context.Context, r server.Reader) (server.State, error) {
	e, found, err := readEntry(ctx, r, d.Path)
	if err != nil || !found {
		return "", err
	}
	if !e.Mode.IsDir() {
		return "", fmt.Errorf("%s is not a directory", d.Path)
	}
	return entryState(e), nil
}

// Set makes the directory or changes its permissions and owners. The empty
// state removes it, and fails if somebody has put something into it.
func (d Dir) Set(ctx context.Context, h server.Host, s server.State) error {
	now, err := d.Get(ctx, h)
	if err != nil || now == s {
		return err
	}
	if s != "" {
		e, err := parseEntryState(s)
		if err != nil {
			return err
		}
		return h.Write(ctx, d.Path, e)
	}
	inside, err := h.Glob(ctx, quoteGlob(d.Path)+"/*")
	if err != nil {
		return err
	}
	if len(inside) > 0 {
		return fmt.Errorf("%s is left in place because it is not empty: it holds %s", d.Path, inside[0])
	}
	return h.Remove(ctx, d.Path)
}

// quoteGlob makes a pattern that matches path and nothing else.
func quoteGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
