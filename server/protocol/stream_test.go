package protocol

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// carried starts a daemon that carries streams to what dial gives.
func carried(t *testing.T, dial func(context.Context) (net.Conn, error)) (*Client, <-chan error) {
	t.Helper()
	var r Relay
	return start(t, map[Op]Handler{
		OpCanaryConnect: Handle(func(ctx context.Context, in CanaryConnection, send func(Event) error) (Nothing, error) {
			return Nothing{}, r.Connect(ctx, in, send, dial)
		}),
		OpCanarySend: Handle(func(ctx context.Context, in CanaryData, _ func(Event) error) (Nothing, error) {
			return Nothing{}, r.Send(ctx, in)
		}),
		OpHello: func(context.Context, Request) (any, error) { return Welcome{}, nil },
	})
}

// served returns a dial to f, which is given the server's end.
func served(f func(net.Conn)) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			f(far)
		}()
		return near, nil
	}
}

func connect(t *testing.T, c *Client) net.Conn {
	t.Helper()
	conn, err := c.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Everything arrives, in order, over several streams at once and one after the
// other.
func TestStreams(t *testing.T) {
	c, served := carried(t, served(func(conn net.Conn) { io.Copy(conn, conn) }))
	text := make([]byte, 3*streamWindow+17)
	for i := range text {
		text[i] = byte(i * i >> 3)
	}
	for range 2 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				conn, err := c.Connect(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				go conn.Write(text)
				got := make([]byte, len(text))
				if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, text) {
					t.Errorf("what came back is not what was sent: %v", err)
				}
			})
		}
		wg.Wait()
	}
	c.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// What the server sends before it hangs up arrives, and then the end.
func TestStreamEnds(t *testing.T) {
	c, _ := carried(t, served(func(conn net.Conn) { conn.Write([]byte("goodbye")) }))
	if got, err := io.ReadAll(connect(t, c)); err != nil || string(got) != "goodbye" {
		t.Errorf("%q, %v", got, err)
	}
	c, _ = carried(t, func(context.Context) (net.Conn, error) { return nil, errors.New("nobody listens") })
	var told *Error
	if _, err := c.Connect(t.Context()); !errors.As(err, &told) || told.Message != "nobody listens" {
		t.Errorf("Connect: %v", err)
	}
}

// What is written right before Close arrives.
func TestStreamCloseFlushes(t *testing.T) {
	got := make(chan []byte, 1)
	c, _ := carried(t, served(func(conn net.Conn) {
		all, _ := io.ReadAll(conn)
		got <- all
	}))
	conn := connect(t, c)
	if _, err := conn.Write([]byte("the last word")); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if all := <-got; string(all) != "the last word" {
		t.Errorf("the server got %q", all)
	}
}

// A reader that stops reading holds up neither other calls nor the daemon's
// memory, and gets everything once it reads.
func TestSlowReader(t *testing.T) {
	const all = 8 * streamWindow
	var mu sync.Mutex
	taken := 0
	c, _ := carried(t, served(func(conn net.Conn) {
		for piece := make([]byte, 1000); ; {
			mu.Lock()
			n := min(len(piece), all-taken)
			mu.Unlock()
			if n == 0 {
				return
			}
			if _, err := conn.Write(piece[:n]); err != nil {
				return
			}
			mu.Lock()
			taken += n
			mu.Unlock()
		}
	}))
	conn := connect(t, c)
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return taken
	}
	// Until nothing moves any more.
	for last := -1; last != count(); {
		last = count()
		for range 50 {
			if err := c.Call(t.Context(), OpHello, Hello{}, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := count(); n == 0 || n > streamWindow+2*MaxChunk {
		t.Errorf("%d bytes were taken from the server for a reader that reads nothing, at most %d may be", n, streamWindow+2*MaxChunk)
	}
	if n, err := io.Copy(io.Discard, conn); err != nil || n != all {
		t.Errorf("%d bytes of %d, %v", n, all, err)
	}
}

// When the desk is gone, so is its connection to the server.
func TestStreamDeskDies(t *testing.T) {
	gone := make(chan error, 1)
	c, served := carried(t, served(func(conn net.Conn) {
		_, err := conn.Read(make([]byte, 1))
		gone <- err
	}))
	connect(t, c)
	c.Close()
	if err := <-gone; err == nil {
		t.Error("the server's end got something")
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// When the daemon is gone, a read ends and so does a write.
func TestStreamDaemonDies(t *testing.T) {
	ctx, kill := context.WithCancel(t.Context())
	desk, daemon := pair()
	var r Relay
	dial := served(func(conn net.Conn) { <-ctx.Done() })
	go func() {
		Serve(ctx, daemon, map[Op]Handler{OpCanaryConnect: Handle(func(ctx context.Context, in CanaryConnection, send func(Event) error) (Nothing, error) {
			return Nothing{}, r.Connect(ctx, in, send, dial)
		})})
		daemon.Close()
	}()
	c := NewClient(desk)
	defer c.Close()
	conn := connect(t, c)
	time.AfterFunc(10*time.Millisecond, kill)
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from nobody", n)
	}
	for {
		if _, err := conn.Write(make([]byte, MaxChunk)); err != nil {
			return
		}
	}
}

// A daemon that sends more than a window ahead loses its stream.
func TestStreamFlood(t *testing.T) {
	c, _ := start(t, map[Op]Handler{
		OpCanaryConnect: Handle(func(ctx context.Context, _ CanaryConnection, send func(Event) error) (Nothing, error) {
			for ctx.Err() == nil {
				if err := send(Event{Data: make([]byte, MaxChunk)}); err != nil {
					return Nothing{}, err
				}
			}
			return Nothing{}, nil
		}),
		OpCanarySend: func(context.Context, Request) (any, error) { return Nothing{}, nil },
	})
	conn := connect(t, c)
	for {
		if _, err := conn.Write(make([]byte, MaxChunk)); err != nil {
			return
		}
	}
}

func TestRelayRefuses(t *testing.T) {
	c, _ := carried(t, served(func(conn net.Conn) { io.Copy(io.Discard, conn) }))
	send := func(in CanaryData) Code {
		var told *Error
		if err := c.Call(t.Context(), OpCanarySend, in, nil, nil); errors.As(err, &told) {
			return told.Code
		}
		return ""
	}
	if code := send(CanaryData{Stream: 7, Data: []byte("x")}); code != CodeNotFound {
		t.Errorf("a stream that does not exist: %q", code)
	}
	connect(t, c)
	if code := send(CanaryData{Stream: 1, Data: make([]byte, MaxChunk+1)}); code != CodeTooLarge {
		t.Errorf("a chunk that is too large: %q", code)
	}
	if code := send(CanaryData{Stream: 1, Data: make([]byte, MaxChunk)}); code != "" {
		t.Errorf("a chunk that is as large as may be: %q", code)
	}
	var told *Error
	for _, in := range []CanaryConnection{{Stream: 0}, {Stream: 1}} {
		if err := c.Call(t.Context(), OpCanaryConnect, in, nil, nil); !errors.As(err, &told) || told.Code != CodeMalformed {
			t.Errorf("stream %d: %v", in.Stream, err)
		}
	}
	for range maxRelayed - 1 {
		connect(t, c)
	}
	if _, err := c.Connect(t.Context()); !errors.As(err, &told) || told.Code != CodeBusy {
		t.Errorf("one stream too many: %v", err)
	}
}
