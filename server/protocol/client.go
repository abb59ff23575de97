package protocol

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// cancelGrace is how long a cancelled call waits for the daemon's last word,
// because it says in what state the server is.
const cancelGrace = 5 * time.Second

// A Client is the desk's end of a connection. Its methods may be called by
// several goroutines.
type Client struct {
	conn  io.ReadWriteCloser
	out   chan []byte
	ended chan struct{} // closed once err is set
	// streams is the number of the last one.
	streams atomic.Uint64
	once    sync.Once
	err     error

	mu    sync.Mutex
	last  uint64
	calls map[uint64]*call
}

type call struct {
	answers chan message
	over    chan struct{} // closed when nobody listens any more
}

// NewClient returns a Client that speaks over conn, which belongs to it.
func NewClient(conn io.ReadWriteCloser) *Client {
	c := &Client{
		conn: conn, out: make(chan []byte), ended: make(chan struct{}),
		calls: make(map[uint64]*call),
	}
	go c.read()
	go c.write()
	return c
}

// Close ends the connection. Calls in flight fail with a [*ClosedError]. It may
// be called twice.
func (c *Client) Close() error {
	return c.end(errors.New("it was closed here"))
}

// Done is closed when the connection has ended, from whichever side.
func (c *Client) Done() <-chan struct{} { return c.ended }

func (c *Client) end(why error) error {
	var err error
	c.once.Do(func() {
		c.err = why
		close(c.ended)
		err = c.conn.Close()
	})
	return err
}

// Call sends a request and waits for its result, which it decodes into out
// unless that is nil. onEvent, if not nil, is called for each event, in order,
// before Call returns; while it runs no other call gets an answer.
//
// A failure that the daemon reports is an [*Error], a lost connection a
// [*ClosedError]. If ctx ends, the request is cancelled and Call waits some
// seconds for the daemon's last word: if that is a result, it was too late to
// cancel and there is no error.
func (c *Client) Call(ctx context.Context, op Op, in, out any, onEvent func(Event)) error {
	data, secrets, err := body(in)
	if err != nil {
		return fmt.Errorf("%s: encoding the request: %w", op, err)
	}
	id, answers := c.open()
	defer c.forget(id)
	line, err := encode(message{ID: id, Op: op, Body: data, Secrets: secrets})
	if err != nil {
		return fmt.Errorf("%s: encoding the request: %w", op, err)
	}
	if err := c.send(ctx, line); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := c.wait(ctx, id, answers, out, onEvent); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

func (c *Client) wait(ctx context.Context, id uint64, answers <-chan message, out any, onEvent func(Event)) error {
	canceled, over := ctx.Done(), (<-chan time.Time)(nil)
	for {
		select {
		case m := <-answers:
			if m.Event == nil {
				return last(ctx, m, out)
			}
			if onEvent != nil {
				onEvent(*m.Event)
			}
		case <-c.ended:
			select {
			case m := <-answers: // it came before the end
				if m.Event == nil {
					return last(ctx, m, out)
				}
				if onEvent != nil {
					onEvent(*m.Event)
				}
			default:
				return &ClosedError{Err: c.err}
			}
		case <-canceled:
			canceled, over = nil, time.After(cancelGrace)
			if err := c.cancel(ctx, id); err != nil {
				return errors.Join(context.Cause(ctx), err)
			}
		case <-over:
			return fmt.Errorf("the server did not say what became of it: %w", context.Cause(ctx))
		}
	}
}

// last decodes the message that ends a call.
func last(ctx context.Context, m message, out any) error {
	switch {
	case m.Error != nil:
		if m.Error.Code == CodeCanceled {
			m.Error.cause = context.Cause(ctx)
		}
		return m.Error
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(m.Result, out); err != nil {
		return fmt.Errorf("decoding the result: %w", err)
	}
	return nil
}

func (c *Client) cancel(ctx context.Context, id uint64) error {
	line, err := encode(message{ID: id, Cancel: true})
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer stop()
	return c.send(ctx, line)
}

func (c *Client) open() (uint64, <-chan message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	waiting := &call{answers: make(chan message, 16), over: make(chan struct{})}
	c.calls[c.last] = waiting
	return c.last, waiting.answers
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.calls[id].over)
	delete(c.calls, id)
}

func (c *Client) send(ctx context.Context, line []byte) error {
	select {
	case c.out <- line:
		return nil
	case <-c.ended:
		return &ClosedError{Err: c.err}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) write() {
	for {
		select {
		case line := <-c.out:
			if _, err := c.conn.Write(line); err != nil {
				c.end(err)
				return
			}
		case <-c.ended:
			return
		}
	}
}

func (c *Client) read() {
	lines := bufio.NewReaderSize(c.conn, 64<<10)
	for {
		line, err := readLine(lines)
		if err != nil {
			c.end(err)
			return
		}
		m, err := decodeForeign(line)
		if err != nil {
			c.end(err)
			return
		}
		if m.ID == 0 && m.Error != nil {
			c.end(m.Error)
			return
		}
		if m.Event == nil && m.Error == nil && m.Result == nil {
			c.end(errors.New("a message answers nothing"))
			return
		}
		c.mu.Lock()
		waiting := c.calls[m.ID]
		c.mu.Unlock()
		if waiting == nil {
			continue // the last word on a call that was given up
		}
		select {
		case waiting.answers <- m:
		case <-waiting.over:
		case <-c.ended:
			return
		}
	}
}
