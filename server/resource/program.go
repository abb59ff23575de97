package resource

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/holdfast-security/holdfast/server"
)

// A Program is an installed program with the owner and permissions that its
// package gave it, such as sudo with its setuid bit. Its content is no concern
// of it. It counts as an installer because it lies where packages do, outside
// of what a [server.World] copies.
type Program struct {
	// Path is absolute, clean and no symbolic link.
	Path string `json:"path"`
	// Mode are the permission bits, setuid, setgid and sticky included.
	Mode fs.FileMode `json:"mode"`
	// Owner and Group are names; empty means root.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
}

// Name returns "program PATH".
func (p Program) Name() string { return "program " + p.Path }

// Want returns permissions and owners, such as "4755 root:root".
func (p Program) Want() server.State {
	return server.State(octal(p.Mode) + " " + rootIfEmpty(p.Owner) + ":" + rootIfEmpty(p.Group))
}

// Install marks a Program as a [server.Installer].
func (p Program) Install() {}

// Get returns permissions and owners, or the empty state if there is no such
// program.
func (p Program) Get(ctx context.Context, r server.Reader) (server.State, error) {
	e, found, err := readEntry(ctx, r, p.Path)
	if err != nil || !found {
		return "", err
	}
	if !e.Mode.IsRegular() {
		return "", fmt.Errorf("%s is not a program", p.Path)
	}
	return server.State(octal(e.Mode) + " " + e.Owner + ":" + e.Group), nil
}

// Set changes permissions and owners, both at once. It neither makes nor removes
// a program.
func (p Program) Set(ctx context.Context, h server.Host, s server.State) error {
	now, err := p.Get(ctx, h)
	if err != nil || now == s {
		return err
	}
	if now == "" || s == "" {
		return fmt.Errorf("%s is not installed", p.Path)
	}
	want, err := parseHead(string(s))
	if err != nil {
		return err
	}
	e, err := h.Read(ctx, p.Path)
	if err != nil {
		return err
	}
	e.Mode, e.Owner, e.Group = want.Mode, want.Owner, want.Group
	return h.Write(ctx, p.Path, e)
}
