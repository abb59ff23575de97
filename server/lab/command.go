package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// errLocked means that another process holds the lock.
var errLocked = errors.New("locked by another process")

// A CommandError is a command that ran and said no.
type CommandError struct {
	Argv   []string
	Exit   int    // exit status, -1 if a signal ended it
	Output string // its standard error, or what it printed if that is empty; the last 2000 bytes
}

// Error names the command, its status and what it printed.
func (e *CommandError) Error() string {
	return fmt.Sprintf("%s: exit status %d: %s", strings.Join(e.Argv, " "), e.Exit, e.Output)
}

// run runs a command of the machine and returns its standard output.
func run(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return output(ctx, cmd, stdin, argv)
}

// output runs cmd, which the error calls argv.
func output(ctx context.Context, cmd *exec.Cmd, stdin io.Reader, argv []string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	if ctx.Err() != nil {
		return out.Bytes(), fmt.Errorf("%s: %w", strings.Join(argv, " "), ctx.Err())
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return out.Bytes(), fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	said := bytes.TrimSpace(errs.Bytes())
	if len(said) == 0 {
		said = bytes.TrimSpace(out.Bytes())
	}
	said = said[max(0, len(said)-2000):]
	return out.Bytes(), &CommandError{Argv: argv, Exit: exit.ExitCode(), Output: string(said)}
}
