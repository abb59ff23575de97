package protocol

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/holdfast-security/holdfast/server"
)

// maxInFlight is how many requests a daemon works on at once; the next is
// refused. A desk has no use for more than a few.
const maxInFlight = 16

// A Handler carries out one operation: it decodes the body, may send events and
// returns the result, which is encoded as JSON, or an error. If that is an
// [*Error], wrapped or not, it decides on code and state. [Handle] makes Handlers
// of typed functions.
//
// The context ends when the desk cancels the request or is gone.
type Handler func(ctx context.Context, r Request) (any, error)

// A Request is what a Handler gets.
type Request struct {
	Op Op
	// Send sends an event. It fails if the desk is gone; work that goes on
	// without a desk may ignore that.
	Send func(Event) error

	body    json.RawMessage
	secrets map[string]server.Secret
}

// Decode decodes the body into in, which must be a pointer, and gives it the
// secrets that came along. A field that in does not have is an error.
func (r Request) Decode(in any) error {
	data := r.body
	if len(data) == 0 {
		data = json.RawMessage("{}")
	}
	if err := strictly(data, in); err != nil {
		return Errorf(CodeMalformed, Unchanged, "the body of %q is not what it should be: %w", r.Op, err)
	}
	if c, ok := in.(interface {
		take(map[string]server.Secret)
	}); ok {
		c.take(r.secrets)
	}
	return nil
}

// Handle makes a Handler of a function with typed body and result.
func Handle[In, Out any](f func(ctx context.Context, in In, send func(Event) error) (Out, error)) Handler {
	return func(ctx context.Context, r Request) (any, error) {
		var in In
		if err := r.Decode(&in); err != nil {
			return nil, err
		}
		return f(ctx, in, r.Send)
	}
}

// Serve answers the requests that come over rw until the desk closes it, which
// is no error, until a message cannot be understood, or until ctx ends. Then the
// contexts of all handlers end, and Serve returns when they have returned. If ctx
// ended, one Read of rw may still be pending.
func Serve(ctx context.Context, rw io.ReadWriter, handlers map[Op]Handler) error {
	ctx, stop := context.WithCancelCause(ctx)
	s := &conversation{handlers: handlers, conn: rw, running: make(map[uint64]context.CancelFunc)}
	heard := make(chan error, 1)
	go func() { heard <- s.listen(ctx) }()
	var err error
	select {
	case err = <-heard:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	stop(err)
	s.mu.Lock()
	s.deaf = true
	s.mu.Unlock()
	s.work.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// A conversation is the daemon's end of a connection.
type conversation struct {
	handlers map[Op]Handler
	conn     io.ReadWriter
	work     sync.WaitGroup

	mu      sync.Mutex // running and deaf
	running map[uint64]context.CancelFunc
	deaf    bool

	speak sync.Mutex // writes to conn
}

// listen reads requests; its error is why there will be no more.
func (s *conversation) listen(ctx context.Context) error {
	lines := bufio.NewReaderSize(s.conn, 64<<10)
	for {
		var size *SizeError
		var format *FormatError
		var m message
		line, err := readLine(lines)
		if err == nil {
			m, err = decode(line)
		} else if !errors.As(err, &size) {
			return err // nobody is there to be told
		}
		switch {
		case errors.As(err, &size):
			s.answer("", message{Error: reported("", err)})
			return err
		case errors.As(err, &format):
			// The connection lives on: a newer desk may ask in an older form.
			s.answer(m.Op, message{ID: m.ID, Error: Errorf(CodeFormat, Unchanged, "%w", err)})
			continue
		case err != nil:
			s.answer("", message{Error: Errorf(CodeMalformed, Unchanged, "%w", err)})
			return err
		case m.Cancel:
			s.cancel(m.ID)
		default:
			s.begin(ctx, m)
		}
	}
}

func (s *conversation) cancel(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop := s.running[id]; stop != nil {
		stop()
	}
}

func (s *conversation) begin(ctx context.Context, m message) {
	handler := s.handlers[m.Op]
	if handler == nil {
		s.answer(m.Op, message{ID: m.ID, Error: Errorf(CodeUnknownOp, Unchanged, "there is no operation %q", m.Op)})
		return
	}
	if refusal := s.admit(ctx, m, handler); refusal != nil {
		s.answer(m.Op, message{ID: m.ID, Error: refusal})
	}
}

func (s *conversation) admit(ctx context.Context, m message, handler Handler) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.deaf:
		return nil
	case m.ID == 0 || s.running[m.ID] != nil:
		return Errorf(CodeMalformed, Unchanged, "%d is no ID for a request", m.ID)
	case len(s.running) >= maxInFlight:
		return Errorf(CodeBusy, Unchanged, "%d requests are being worked on already", maxInFlight)
	}
	ctx, stop := context.WithCancel(ctx)
	s.running[m.ID] = stop
	s.work.Go(func() {
		last := s.run(ctx, m, handler)
		s.mu.Lock()
		delete(s.running, m.ID)
		s.mu.Unlock()
		stop()
		s.answer(m.Op, last)
	})
	return nil
}

// run returns the last message on a request.
func (s *conversation) run(ctx context.Context, m message, handler Handler) message {
	result, err := handler(ctx, Request{
		Op: m.Op, body: m.Body, secrets: conceal(m.Secrets),
		Send: func(e Event) error { return s.answer(m.Op, message{ID: m.ID, Event: &e}) },
	})
	if err != nil {
		return message{ID: m.ID, Error: reported(m.Op, err)}
	}
	data, err := json.Marshal(result)
	if err != nil {
		return message{ID: m.ID, Error: reported(m.Op, fmt.Errorf("encoding the result: %w", err))}
	}
	return message{ID: m.ID, Result: data}
}

// answer sends m, which answers a request for op, or that it is too large.
func (s *conversation) answer(op Op, m message) error {
	line, err := encode(m)
	if err != nil {
		if m.Event != nil {
			return err
		}
		if line, err = encode(message{ID: m.ID, Error: reported(op, err)}); err != nil {
			return err
		}
	}
	s.speak.Lock()
	defer s.speak.Unlock()
	_, err = s.conn.Write(line)
	return err
}
