package server

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// A Reader is a machine that can be looked at.
//
// An error means "could not tell". The only error that says something about
// the machine is one that wraps [fs.ErrNotExist]: the file is not there.
type Reader interface {
	// Output runs a command that changes nothing and returns its standard
	// output. argv is run as it is, without a shell, with LC_ALL=C and an empty
	// standard input. If the command cannot be run or exits with a status other
	// than 0, the error is a [*CommandError].
	Output(ctx context.Context, argv ...string) (string, error)
	// Read returns what is at path, without following a symbolic link.
	Read(ctx context.Context, path string) (Entry, error)
	// Glob returns the sorted paths that match pattern, in the syntax of
	// path/filepath.Match; none is not an error.
	Glob(ctx context.Context, pattern string) ([]string, error)
}

// A Host is a machine that can also be changed.
//
// An error of Run, Write or Remove does not tell whether the change happened:
// the answer may have been lost after it. Callers find out by looking. Each
// method may be called again.
type Host interface {
	Reader
	// Run runs a command that changes the machine, like Output, with stdin on
	// its standard input. What it prints is part of the error if it fails.
	Run(ctx context.Context, stdin string, argv ...string) error
	// Write puts e at path, atomically and durably: readers see the old or the
	// new entry, and after Write has returned the new one survives a power cut.
	// A directory that already exists keeps its content and gets e's owner and
	// mode. The parent directory must exist.
	Write(ctx context.Context, path string, e Entry) error
	// Remove deletes the file, link or empty directory at path. Removing what
	// is not there is not an error.
	Remove(ctx context.Context, path string) error
}

// A Rehearser is a Reader that can lend a World. It is apart from Reader
// because looking must stay possible where private copies cannot be made.
type Rehearser interface {
	Reader
	// Rehearse returns a World that shows the machine as it is now.
	Rehearse(ctx context.Context) (World, error)
}

// A World is a private copy of a machine's configuration: /etc, /home, /root
// and what login tools write beside them. Changes and commands in it see the
// copy; the machine sees nothing of them, its logs included. Package managers
// and service managers must not be run in it.
type World interface {
	Host
	// Close throws the copy away. It may be called twice.
	Close() error
}

// An Entry is what is found at a path: a file, a directory or a symbolic link.
type Entry struct {
	// Mode holds the type bits (0 for a file, fs.ModeDir, fs.ModeSymlink), the
	// nine permission bits and setuid, setgid and sticky.
	Mode fs.FileMode `json:"mode"`
	// Owner and Group are names, or decimal numbers where no name is known.
	Owner string `json:"owner"`
	Group string `json:"group"`
	// Xattrs are the extended attributes, access control lists and file
	// capabilities included; nil if there are none.
	Xattrs map[string]string `json:"xattrs,omitempty"`
	// Content is the file's content, the link's target, and empty for a
	// directory.
	Content string `json:"content"`
	// Changed is when content, owner or mode last changed (the inode's ctime).
	// It is for telling whether a daemon has seen the file; Write ignores it.
	Changed time.Time `json:"-"`
}

// A CommandError is a command that could not be run or that failed.
type CommandError struct {
	// Argv is the command as it was run.
	Argv []string
	// Exit is the exit status, or -1 if the command did not run to its end.
	Exit int
	// Output is what it printed on both streams, cut to some kilobytes.
	Output string
	// Err is why it did not run; nil if it ran and exited.
	Err error
}

// Error names the command, its status and what it printed.
func (e *CommandError) Error() string {
	var b strings.Builder
	b.WriteString(strings.Join(e.Argv, " "))
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	} else {
		fmt.Fprintf(&b, ": exit status %d", e.Exit)
	}
	if out := strings.TrimSpace(e.Output); out != "" {
		fmt.Fprintf(&b, ": %s", out)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *CommandError) Unwrap() error { return e.Err }
