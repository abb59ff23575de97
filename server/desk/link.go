package desk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-security/holdfast/server/protocol"
	"golang.org/x/crypto/ssh"
)

// stats count what connections cost.
type stats struct {
	connections, failed, turns, in, out, uploads atomic.Int64
}

// Counts are what a desk's connections, or one of them, have cost so far.
type Counts struct {
	// Connections are those that were begun, and FailedLogins those that ended
	// in a refused login.
	Connections, FailedLogins int64
	// RoundTrips are how often something was said and then an answer waited for,
	// the setting up of TCP included; connections side by side count each.
	RoundTrips int64
	// BytesIn and BytesOut are as on the wire, without TCP's own.
	BytesIn, BytesOut int64
	// Uploads are how often the daemon was brought along.
	Uploads int64
}

func (s *stats) counts() Counts {
	return Counts{
		Connections: s.connections.Load(), FailedLogins: s.failed.Load(), RoundTrips: s.turns.Load(),
		BytesIn: s.in.Load(), BytesOut: s.out.Load(), Uploads: s.uploads.Load(),
	}
}

// A link is a network connection that counts, and that keeps the first thing a
// server says.
type link struct {
	net.Conn
	in    *bufio.Reader
	total *stats // the desk's
	own   *stats
	wrote atomic.Int64
	spoke atomic.Bool
	ended atomic.Bool // nothing more can be read

	mu   sync.Mutex
	head []byte
}

// headSize is enough for the version line and the list of algorithms.
const headSize = 16 << 10

func newLink(c net.Conn, total, own *stats) *link {
	l := &link{Conn: c, total: total, own: own}
	l.in = bufio.NewReaderSize(counter{l}, 32<<10)
	for _, s := range []*stats{total, own} {
		s.connections.Add(1)
		s.turns.Add(1)
	}
	return l
}

func (l *link) Read(p []byte) (int, error) { return l.in.Read(p) }

func (l *link) Write(p []byte) (int, error) {
	n, err := l.Conn.Write(p)
	if l.wrote.Add(1) != 2 { // the algorithms, which both ends name unasked
		l.spoke.Store(true)
	}
	l.total.out.Add(int64(n))
	l.own.out.Add(int64(n))
	return n, err
}

// A counter reads what really arrives, below the buffer.
type counter struct{ l *link }

func (c counter) Read(p []byte) (int, error) {
	l := c.l
	n, err := l.Conn.Read(p)
	if err != nil {
		l.ended.Store(true)
	}
	if n > 0 && l.spoke.Swap(false) {
		l.total.turns.Add(1)
		l.own.turns.Add(1)
	}
	l.total.in.Add(int64(n))
	l.own.in.Add(int64(n))
	l.mu.Lock()
	if room := headSize - len(l.head); room > 0 {
		l.head = append(l.head, p[:min(n, room)]...)
	}
	l.mu.Unlock()
	return n, err
}

// said returns the beginning of what the server has said.
func (l *link) said() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.head)
}

// Algorithms are what a server offers before anybody has logged in, in its
// order. They come from its running daemon, not from a file.
type Algorithms struct {
	// Version is its version line, cleaned.
	Version      string
	KeyExchanges []string
	HostKeys     []string
	Ciphers      []string // from the client to the server
	MACs         []string // from the client to the server
}

// ParseAlgorithms reads Algorithms from the first bytes that a server sends.
func ParseAlgorithms(head []byte) (Algorithms, error) {
	var a Algorithms
	for !strings.HasPrefix(a.Version, "SSH-") {
		line, rest, found := bytes.Cut(head, []byte("\n"))
		if !found {
			return Algorithms{}, errors.New("there is no version line")
		}
		a.Version, head = protocol.Clean(strings.TrimSuffix(string(line), "\r")), rest
	}
	if len(head) < 6 {
		return Algorithms{}, errors.New("there is no list of algorithms")
	}
	size, padding := binary.BigEndian.Uint32(head), int(head[4])
	head = head[4:]
	if size > headSize || int(size) > len(head) || int(size) < padding+2 {
		return Algorithms{}, errors.New("the list of algorithms is cut off")
	}
	var m struct {
		Cookie                                 [16]byte `sshtype:"20"`
		Kex, HostKeys, CipherOut, CipherIn     []string
		MACOut, MACIn, CompressOut, CompressIn []string
		LanguageOut, LanguageIn                []string
		FirstFollows                           bool
		Reserved                               uint32
	}
	if err := ssh.Unmarshal(head[1:int(size)-padding], &m); err != nil {
		return Algorithms{}, err
	}
	a.KeyExchanges, a.HostKeys, a.Ciphers, a.MACs = cleanAll(m.Kex), cleanAll(m.HostKeys), cleanAll(m.CipherOut), cleanAll(m.MACOut)
	return a, nil
}

func cleanAll(names []string) []string {
	for i, n := range names {
		names[i] = protocol.Clean(n)
	}
	return names
}

// A watch closes a connection whose present phase takes too long. Its clock
// stands still while the operator is asked.
type watch struct {
	server string
	over   chan struct{} // closed with the connection
	close  func()

	mu    sync.Mutex
	phase string
	limit time.Duration
	timer *time.Timer
	late  error         // the phase that took too long
	local error         // what failed on this side, which the server knows nothing of
	asked time.Duration // how long questions have taken
}

// newWatch returns a watch over c.
func newWatch(server string, c net.Conn) *watch {
	w := &watch{server: server, over: make(chan struct{})}
	w.close = sync.OnceFunc(func() {
		close(w.over)
		c.Close()
	})
	return w
}

// begin starts a phase; the one before is over.
func (w *watch) begin(phase string, limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.phase, w.limit = phase, limit
	w.start()
}

func (w *watch) start() {
	if w.timer != nil {
		w.timer.Stop()
	}
	expired := &TimeoutError{Server: w.server, Phase: w.phase, After: w.limit}
	var t *time.Timer
	t = time.AfterFunc(w.limit, func() {
		w.mu.Lock()
		current := w.timer == t
		if current {
			w.late = expired
		}
		w.mu.Unlock()
		if current {
			w.close()
		}
	})
	w.timer = t
}

// paused runs f without the clock. Then the phase has its whole time again. An
// error of f is kept as what failed on this side.
func (w *watch) paused(f func() error) error {
	w.stop()
	begun := time.Now()
	err := f()
	w.fail(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked += time.Since(begun)
	w.start()
	return err
}

// fail keeps what failed on this side. The library would go on and then report
// that the server had refused.
func (w *watch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.local == nil {
		w.local = err
	}
}

// waited returns how long the server had to wait for answers.
func (w *watch) waited() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// failed returns what failed on this side.
func (w *watch) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.local
}

// stop ends the watch until the next begin.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// expired returns the *TimeoutError if the watch has closed the connection.
func (w *watch) expired() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.late
}
