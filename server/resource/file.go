package resource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/holdfast-security/holdfast/server"
)

// A File is a file with exact content, permissions and owner. Its parent
// directory must exist.
type File struct {
	// Path is absolute and clean.
	Path string `json:"path"`
	// Mode are the permission bits, setuid, setgid and sticky included.
	Mode fs.FileMode `json:"mode"`
	// Owner and Group are names; empty means root.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
	// Content is UTF-8 text and holds no secret.
	Content string `json:"content"`
	// Test is run with the path of a draft of the new content as its last
	// argument before that content takes the file's place; if it fails, the
	// file stays as it is. The draft has the final permissions and lies beside
	// the file, under a name that daemons do not read. An earlier state is put
	// back untested.
	Test []string `json:"test,omitempty"`
}

// Name returns "file PATH".
func (f File) Name() string { return "file " + f.Path }

// Want returns the content under a head of permissions and owners.
func (f File) Want() server.State { return entryState(f.entry()) }

func (f File) entry() server.Entry {
	return server.Entry{Mode: f.Mode, Owner: rootIfEmpty(f.Owner), Group: rootIfEmpty(f.Group), Content: f.Content}
}

// Get returns the state of the file or symbolic link, empty if there is none.
func (f File) Get(ctx context.Context, r server.Reader) (server.State, error) {
	return getFile(ctx, r, f.Path)
}

// Set writes the file, or removes it if s is empty.
func (f File) Set(ctx context.Context, h server.Host, s server.State) error {
	if f.Test != nil {
		// A run that was killed may have left one.
		if err := f.removeDraft(ctx, h); err != nil {
			return err
		}
		now, err := f.Get(ctx, h)
		if err != nil {
			return err
		}
		if s == f.Want() && now != s {
			if err := f.test(ctx, h); err != nil {
				return err
			}
		}
	}
	return setFile(ctx, h, f.Path, s)
}

// test runs Test on a draft.
func (f File) test(ctx context.Context, h server.Host) (err error) {
	defer func() {
		err = errors.Join(err, f.removeDraft(context.WithoutCancel(ctx), h))
	}()
	if err := h.Write(ctx, f.draft(), f.entry()); err != nil {
		return err
	}
	if _, found, err := readEntry(ctx, h, f.draft()); err != nil || !found {
		return fmt.Errorf("the draft %s was written but is not there: %w", f.draft(), err)
	}
	if _, err := h.Output(ctx, append(slices.Clip(f.Test), f.draft())...); err != nil {
		return &TestError{Path: f.Path, Err: err}
	}
	return nil
}

// draft is where the new content is tested. sshd, sysctl and sudo include by
// *.conf or skip names with a dot in them; run-parts skips them too.
func (f File) draft() string {
	dir, name := path.Split(f.Path)
	return dir + "." + name + ".holdfast-draft"
}

// removeDraft removes the draft if there is one.
func (f File) removeDraft(ctx context.Context, h server.Host) error {
	_, found, err := readEntry(ctx, h, f.draft())
	if err != nil || !found {
		return err
	}
	if err := h.Remove(ctx, f.draft()); err != nil {
		return err
	}
	if _, found, err = readEntry(ctx, h, f.draft()); err == nil && found {
		return fmt.Errorf("the draft %s was removed but is still there", f.draft())
	}
	return err
}

// A TestError says that a new content did not pass its test. The file is as it
// was.
type TestError struct {
	Path string
	// Err is the test's own error, with what it printed.
	Err error
}

// Error names the file and gives the test's words.
func (e *TestError) Error() string {
	return fmt.Sprintf("the new content of %s does not pass its test: %v", e.Path, e.Err)
}

// Unwrap returns Err.
func (e *TestError) Unwrap() error { return e.Err }

// Absent is a file that must not be there. Undo writes it back.
type Absent struct {
	// Path is absolute and clean.
	Path string `json:"path"`
}

// Name returns "file PATH": a file and its absence are one thing.
func (a Absent) Name() string { return "file " + a.Path }

// Want returns the empty state.
func (a Absent) Want() server.State { return "" }

// Get returns the state of the file or symbolic link, empty if there is none.
func (a Absent) Get(ctx context.Context, r server.Reader) (server.State, error) {
	return getFile(ctx, r, a.Path)
}

// Set removes the file, or writes it back as s says.
func (a Absent) Set(ctx context.Context, h server.Host, s server.State) error {
	return setFile(ctx, h, a.Path, s)
}
