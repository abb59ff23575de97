//go:build linux

package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-security/holdfast/server"
)

const (
	searchPath = "/usr/sbin:/usr/bin:/sbin:/bin"

	// maxOutput is how much a command may print on standard output, in bytes.
	maxOutput = 16 << 20

	// maxTranscript is how much of what a command printed its error carries, in
	// bytes.
	maxTranscript = 8 << 10

	// grace is how long a command has between SIGTERM and SIGKILL after its
	// context has ended, and how long children that outlive it may keep its
	// output open.
	grace = 2 * time.Second
)

// Output runs a command and returns its standard output; see server.Reader and
// the package comment. More than 16 MiB are an error.
func (m *Machine) Output(ctx context.Context, argv ...string) (string, error) {
	var out output
	t := transcript{max: maxTranscript}
	cmd, err := command(ctx, "", argv)
	if err == nil {
		cmd.Stdout, cmd.Stderr = &split{&out, &t}, &t
		err = run(ctx, cmd)
	}
	if out.full {
		err = fmt.Errorf("printed more than %d MiB", maxOutput>>20)
	}
	if err != nil {
		return "", commandError(argv, &t, err)
	}
	return out.buf.String(), nil
}

// Run runs a command that changes the machine; see server.Host and the package
// comment.
func (m *Machine) Run(ctx context.Context, stdin string, argv ...string) error {
	t := transcript{max: maxTranscript}
	cmd, err := command(ctx, stdin, argv)
	if err == nil {
		cmd.Stdout, cmd.Stderr = &t, &t
		err = run(ctx, cmd)
	}
	if err != nil {
		return commandError(argv, &t, err)
	}
	return nil
}

func command(ctx context.Context, stdin string, argv []string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command")
	}
	path, err := lookPath(argv[0])
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Args[0] = argv[0]
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + searchPath, "LC_ALL=C", "HOME=/root"}
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	// A session has no terminal that a program could ask questions on, and its
	// process group can be ended as a whole. Inside a World there is no terminal
	// anyway, and sshd takes a child of process 1 with a session of its own for a
	// daemon already, and would never return.
	first := os.Getpid() == 1
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: !first, Setpgid: first}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = grace
	return cmd, nil
}

func run(ctx context.Context, cmd *exec.Cmd) error {
	err := cmd.Run()
	if cmd.Process == nil {
		return err
	}
	if ctx.Err() != nil {
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // whoever ignored SIGTERM
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil // a daemon that it started keeps the output open
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// lookPath finds a program in our search path, whatever this process's own is.
func lookPath(name string) (string, error) {
	dirs := strings.Split(searchPath, ":")
	if strings.Contains(name, "/") {
		dirs = []string{"/"}
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
		if err != nil && !missing(err) && !errors.Is(err, fs.ErrPermission) {
			return "", err
		}
	}
	return "", exec.ErrNotFound
}

func commandError(argv []string, t *transcript, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New(err.Error()) // fs.ErrNotExist speaks of files, not of interpreters
	}
	e := &server.CommandError{Argv: argv, Exit: -1, Output: t.String(), Err: err}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if exit.Exited() {
			e.Exit, e.Err = exit.ExitCode(), nil
		} else {
			e.Err = errors.New(exit.String())
		}
	}
	return e
}

// output keeps up to maxOutput bytes and fails beyond, which stops the command.
type output struct {
	buf  bytes.Buffer
	full bool
}

func (o *output) Write(p []byte) (int, error) {
	if o.buf.Len()+len(p) > maxOutput {
		o.full = true
		return 0, errors.New("too much output")
	}
	return o.buf.Write(p)
}

// split gives standard output to both.
type split struct {
	out *output
	t   *transcript
}

func (s *split) Write(p []byte) (int, error) {
	s.t.Write(p)
	return s.out.Write(p)
}

// transcript keeps the last max bytes of what a command printed on both streams:
// what went wrong is said at the end.
type transcript struct {
	mu  sync.Mutex
	max int
	buf []byte
	cut bool
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if len(p) > t.max {
		p, t.cut = p[len(p)-t.max:], true
	}
	if over := len(t.buf) + len(p) - t.max; over > 0 {
		t.buf, t.cut = t.buf[over:], true
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return "… " + strings.ToValidUTF8(string(t.buf), "")
	}
	return string(t.buf)
}
