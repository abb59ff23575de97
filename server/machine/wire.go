//go:build linux

package machine

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os/exec"
	"sync"
	"syscall"

	"github.com/holdfast-security/holdfast/server"
)

// What a World's two ends say to each other: frames of a 4-byte big-endian length
// and one gob value, requests one way and responses the other, each as many as
// there are and answered in any order. gob, because contents are bytes and need
// not be valid UTF-8.

// maxFrame leaves room for a file of MaxFile bytes and what is around it.
const maxFrame = MaxFile + 4<<20

// An operation is what a request asks for.
type operation string

const (
	opEnter  operation = "enter"
	opOutput operation = "output"
	opRead   operation = "read"
	opGlob   operation = "glob"
	opRun    operation = "run"
	opWrite  operation = "write"
	opRemove operation = "remove"
	opDial   operation = "dial"
	opCancel operation = "cancel" // the request with this ID
)

type request struct {
	ID    uint64
	Op    operation
	Argv  []string
	Stdin string
	Path  string // or pattern
	Entry server.Entry
	From  netip.Addr
	To    netip.AddrPort
	Enter entering
}

// entering is what the inside of a World needs to know to make itself.
type entering struct {
	// MountNS is the mount namespace of the parent, in which nothing may be
	// mounted.
	MountNS string
	Options Options
	// CopyLimit is 0, or demands plain copies of up to so many bytes where
	// overlays would do; for tests.
	CopyLimit int64
}

type response struct {
	ID    uint64
	Text  string
	Paths []string
	Entry server.Entry
	Err   *wireError
}

// A pipe is one end.
type pipe struct {
	rw   io.ReadWriter
	mu   sync.Mutex // of what follows
	sent bytes.Buffer
	enc  *gob.Encoder
	got  bytes.Buffer // of the one goroutine that receives
	dec  *gob.Decoder
}

func newPipe(rw io.ReadWriter) *pipe {
	p := &pipe{rw: rw}
	p.enc, p.dec = gob.NewEncoder(&p.sent), gob.NewDecoder(&p.got)
	return p
}

func (p *pipe) send(v any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent.Reset()
	p.sent.Write(make([]byte, 4))
	if err := p.enc.Encode(v); err != nil {
		return err
	}
	frame := p.sent.Bytes()
	if len(frame)-4 > maxFrame {
		return fmt.Errorf("a message of %d bytes is too large", len(frame)-4)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	_, err := p.rw.Write(frame)
	return err
}

func (p *pipe) receive(v any) error {
	var length [4]byte
	if _, err := io.ReadFull(p.rw, length[:]); err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > maxFrame {
		return fmt.Errorf("a message of %d bytes is too large", n)
	}
	p.got.Reset()
	if _, err := io.CopyN(&p.got, p.rw, n); err != nil {
		return err
	}
	return p.dec.Decode(v)
}

// A wireError is an error that has crossed a pipe.
type wireError struct {
	Text    string
	Is      []int // indexes of sentinels
	Errno   syscall.Errno
	Command *commandFailure
}

type commandFailure struct {
	Argv   []string
	Exit   int
	Output string
	Err    *wireError
}

// sentinels are the errors that callers ask for with errors.Is. Both ends are
// the same program, so the order is not a format.
func sentinels() []error {
	return []error{
		fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, context.Canceled, context.DeadlineExceeded,
		exec.ErrNotFound, ErrTooLarge,
	}
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Text: err.Error()}
	if c := (*server.CommandError)(nil); errors.As(err, &c) {
		w.Command = &commandFailure{Argv: c.Argv, Exit: c.Exit, Output: c.Output, Err: toWire(c.Err)}
	}
	errors.As(err, &w.Errno)
	for i, s := range sentinels() {
		if errors.Is(err, s) {
			w.Is = append(w.Is, i)
		}
	}
	return w
}

// err returns the error that w stands for.
func (w *wireError) err() error {
	switch {
	case w == nil:
		return nil
	case w.Command != nil:
		c := w.Command
		return &server.CommandError{Argv: c.Argv, Exit: c.Exit, Output: c.Output, Err: c.Err.err()}
	}
	return &farError{w}
}

// farError is an error that happened inside a World.
type farError struct{ wire *wireError }

func (e *farError) Error() string { return e.wire.Text }

func (e *farError) Unwrap() []error {
	var all []error
	if e.wire.Errno != 0 {
		all = append(all, e.wire.Errno)
	}
	for _, i := range e.wire.Is {
		if known := sentinels(); i >= 0 && i < len(known) {
			all = append(all, known[i])
		}
	}
	return all
}
