package protocol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// Bounds of a stream.
const (
	// MaxChunk is how many bytes of a stream a message carries at most.
	MaxChunk = 32 << 10
	// streamWindow is how many bytes may be under way or wait for a reader, in
	// each direction.
	streamWindow = 256 << 10
)

// Connect opens a connection to the canary's daemon that a running [OpCanary]
// has started, carried by this one. ctx limits the opening only. The connection
// ends with its Close, with the canary and with the Client, and holds nobody
// else up if nobody reads from it.
func (c *Client) Connect(ctx context.Context) (net.Conn, error) {
	far, near := net.Pipe()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &stream{client: c, id: c.streams.Add(1), near: near, in: newQueue(), out: newQueue()}
	opened := make(chan struct{})
	ended := make(chan error, 1)
	open := sync.OnceFunc(func() { close(opened) })
	go func() {
		var too error
		err := c.Call(run, OpCanaryConnect, CanaryConnection{Stream: s.id}, nil, func(e Event) {
			open()
			if len(e.Data) > 0 && !s.in.offer(e.Data) {
				too = errors.New("the server sends more than it was allowed to")
				stop()
				near.Close() // what came before is no use either
			}
		})
		ended <- errors.Join(too, err)
		s.out.close()
		s.in.close() // what came is still delivered
	}()
	select {
	case <-opened:
	case err := <-ended:
		stop()
		near.Close()
		return nil, err
	case <-ctx.Done():
		stop()
		near.Close()
		return nil, context.Cause(ctx)
	}
	go s.deliver(run)
	go s.listen()
	go func() {
		s.send(run)
		stop()
	}()
	return far, nil
}

// A stream is the desk's end of a connection that is carried.
type stream struct {
	client *Client
	id     uint64
	near   net.Conn // what comes out of it is for the server
	// in holds what came and was not read yet, out what was written and not
	// sent yet.
	in, out *queue
}

// deliver hands over what came and tells the daemon so, which sends no more than
// a window ahead.
func (s *stream) deliver(ctx context.Context) {
	defer s.near.Close()
	var taken, told int64
	for {
		data := s.in.take(MaxChunk)
		if data == nil {
			return
		}
		if _, err := s.near.Write(data); err != nil {
			return
		}
		if taken += int64(len(data)); taken-told < streamWindow/2 {
			continue
		}
		told = taken
		if err := s.client.Call(ctx, OpCanarySend, CanaryData{Stream: s.id, Taken: taken}, nil, nil); err != nil {
			return
		}
	}
}

// listen takes what is written.
func (s *stream) listen() {
	defer s.out.close()
	piece := make([]byte, MaxChunk)
	for {
		n, err := s.near.Read(piece)
		if n > 0 && !s.out.put(piece[:n]) || err != nil {
			return
		}
	}
}

// send sends what was written, one message after the other, because the order
// of requests is not kept.
func (s *stream) send(ctx context.Context) {
	for {
		data := s.out.take(MaxChunk)
		if data == nil {
			return
		}
		if err := s.client.Call(ctx, OpCanarySend, CanaryData{Stream: s.id, Data: data}, nil, nil); err != nil {
			return
		}
	}
}

// A queue holds bytes between two goroutines, at most a window of them.
type queue struct {
	mu     sync.Mutex
	moved  *sync.Cond
	data   []byte
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.moved = sync.NewCond(&q.mu)
	return q
}

// offer adds p if there is room at once.
func (q *queue) offer(p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.data)+len(p) > streamWindow+MaxChunk {
		return false
	}
	q.data = append(q.data, p...)
	q.moved.Broadcast()
	return true
}

// put adds p once there is room, unless the queue was closed.
func (q *queue) put(p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(q.data)+len(p) > streamWindow {
		q.moved.Wait()
	}
	if q.closed {
		return false
	}
	q.data = append(q.data, p...)
	q.moved.Broadcast()
	return true
}

// take waits for bytes and takes up to most of them; nil means that there will be
// none.
func (q *queue) take(most int) []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.data) == 0 && !q.closed {
		q.moved.Wait()
	}
	if len(q.data) == 0 {
		return nil
	}
	n := min(most, len(q.data))
	taken := append([]byte(nil), q.data[:n]...)
	q.data = append(q.data[:0], q.data[n:]...)
	q.moved.Broadcast()
	return taken
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.moved.Broadcast()
}

// maxRelayed is how many streams a daemon carries at once.
const maxRelayed = 6

// A Relay is the daemon's end of streams. Its zero value is ready; its methods
// may be called by several goroutines.
type Relay struct {
	mu      sync.Mutex
	streams map[uint64]*relayed
}

// A relayed is one connection.
type relayed struct {
	conn    net.Conn
	writing sync.Mutex
	taken   atomic.Int64
	moved   chan struct{}
}

// Connect dials and carries the connection until either end closes it or ctx
// ends. It is what [OpCanaryConnect] does.
func (r *Relay) Connect(ctx context.Context, in CanaryConnection, send func(Event) error, dial func(context.Context) (net.Conn, error)) error {
	s := &relayed{moved: make(chan struct{}, 1)}
	if err := r.admit(in.Stream); err != nil {
		return err
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.streams, in.Stream)
	}()
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	unlink := context.AfterFunc(ctx, func() { conn.Close() })
	defer unlink()
	s.conn = conn
	r.mu.Lock()
	r.streams[in.Stream] = s
	r.mu.Unlock()
	if err := send(Event{}); err != nil {
		return err
	}
	piece := make([]byte, MaxChunk)
	for sent := int64(0); ; {
		n, err := conn.Read(piece)
		if n > 0 {
			if err := s.wait(ctx, sent); err != nil {
				return err
			}
			sent += int64(n)
			if err := send(Event{Data: piece[:n]}); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the end, whoever made it
		}
	}
}

// admit keeps a place for a stream.
func (r *Relay) admit(id uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.streams[id]; ok || id == 0 {
		return Errorf(CodeMalformed, Unchanged, "%d is no number for a stream", id)
	}
	if len(r.streams) >= maxRelayed {
		return Errorf(CodeBusy, Unchanged, "%d streams are open already", maxRelayed)
	}
	if r.streams == nil {
		r.streams = map[uint64]*relayed{}
	}
	r.streams[id] = nil
	return nil
}

// wait waits until the desk has taken enough of what was sent.
func (s *relayed) wait(ctx context.Context, sent int64) error {
	for sent-s.taken.Load() > streamWindow-MaxChunk {
		select {
		case <-s.moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Send hands on what the desk has sent. It is what [OpCanarySend] does. A stream
// that has ended is an [*Error] with [CodeNotFound].
func (r *Relay) Send(_ context.Context, in CanaryData) error {
	r.mu.Lock()
	s := r.streams[in.Stream]
	r.mu.Unlock()
	switch {
	case s == nil:
		return Errorf(CodeNotFound, Unchanged, "there is no stream %d", in.Stream)
	case len(in.Data) > MaxChunk:
		return Errorf(CodeTooLarge, Unchanged, "%d bytes of a stream at once, at most %d may be", len(in.Data), MaxChunk)
	}
	if in.Taken > s.taken.Load() {
		s.taken.Store(in.Taken)
		select {
		case s.moved <- struct{}{}:
		default:
		}
	}
	if len(in.Data) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.conn.Write(in.Data); err != nil {
		return fmt.Errorf("stream %d: %w", in.Stream, err)
	}
	return nil
}
