package hosttest

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// basics are the programs that every host has.
func basics() map[string]Program {
	return map[string]Program{
		"true":  func(context.Context, *Host, string, []string) (string, error) { return "", nil },
		"false": func(context.Context, *Host, string, []string) (string, error) { return "", Exit{Status: 1} },
		"echo": func(_ context.Context, _ *Host, _ string, argv []string) (string, error) {
			return strings.Join(argv[1:], " ") + "\n", nil
		},
		"cat": func(_ context.Context, h *Host, stdin string, argv []string) (string, error) {
			if len(argv) == 1 {
				return stdin, nil
			}
			if !h.Exists(argv[1]) {
				return "", Exit{Status: 1, Output: "cat: " + argv[1] + ": No such file or directory\n"}
			}
			return h.Content(argv[1]), nil
		},
		"tee": func(_ context.Context, h *Host, stdin string, argv []string) (string, error) {
			h.Put(argv[1], stdin)
			return stdin, nil
		},
	}
}

// outsideWorld refuses to run in a World.
func outsideWorld(p Program) Program {
	return func(ctx context.Context, h *Host, stdin string, argv []string) (string, error) {
		if h.world {
			return "", errors.New("must not be run in a World: " + strings.Join(argv, " "))
		}
		return p(ctx, h, stdin, argv)
	}
}

// edit changes the content of a file that is there.
func (h *Host) edit(name string, change func(content string) string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entries[name]
	if next := change(e.Content); next != e.Content {
		e.Content = next
		h.touch(name, e)
	}
}

// putOwned puts a file or directory that belongs to an account.
func (h *Host) putOwned(name, owner string, mode fs.FileMode, content string) {
	h.PutEntry(name, server.Entry{Mode: mode, Owner: owner, Group: owner, Content: content})
}
