package resource

import (
	"context"
	"io/fs"

	"github.com/holdfast-security/holdfast/server"
)

// A Link is a symbolic link. Its parent directory must exist.
type Link struct {
	// Path is absolute and clean.
	Path string `json:"path"`
	// Target is where it leads, absolute or from the link's own directory.
	Target string `json:"target"`
}

// Name returns "file PATH": a link and a file in its place are one thing.
func (l Link) Name() string { return "file " + l.Path }

// Want returns the target under a head that says that it is a link.
func (l Link) Want() server.State {
	return entryState(server.Entry{Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: l.Target})
}

// Get returns the state of the file or symbolic link, empty if there is none.
func (l Link) Get(ctx context.Context, r server.Reader) (server.State, error) {
	return getFile(ctx, r, l.Path)
}

// Set makes the link, or puts back what was there.
func (l Link) Set(ctx context.Context, h server.Host, s server.State) error {
	return setFile(ctx, h, l.Path, s)
}
