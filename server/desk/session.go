package desk

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/protocol"
	"golang.org/x/crypto/ssh"
)

// Root is where daemons lie on a server, each under its SHA-256.
const Root = server.ProgramDir

// closeGrace is how long a daemon has to end after its input has.
const closeGrace = 3 * time.Second

// A Session is a conversation with the daemon on a server. Its methods may be
// called by several goroutines.
type Session struct {
	// Conn is the connection that the Session runs over. It is closed with the
	// Session.
	Conn *Conn
	// Uploaded says that the daemon was missing and was brought along.
	Uploaded bool

	client *protocol.Client
	script *script
}

// Open is [Desk.Dial] followed by [Conn.Start].
func (d *Desk) Open(ctx context.Context, t Target) (*Session, error) {
	c, err := d.Dial(ctx, t)
	if err != nil {
		return nil, err
	}
	s, err := c.Start(ctx)
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// Start becomes root, brings the daemon along if it is missing, and starts it.
// It may be called again, even while another Session runs. Besides the errors of
// [Desk.Dial] there are [*SudoError], [*MachineError] and [*LostError].
func (c *Conn) Start(ctx context.Context) (*Session, error) {
	if c.desk.config.Binaries == nil {
		return nil, errors.New("this desk carries no daemon")
	}
	digests := c.desk.config.Binaries.Digests()
	s, words, err := c.root(ctx, startScript(digests), false)
	if err != nil {
		return nil, err
	}
	session := &Session{Conn: c, script: s}
	if len(words) == 2 && words[0] == "missing" {
		session.Uploaded = true
		if words, err = c.upload(ctx, s, digests, words[1]); err != nil {
			s.session.Close()
			return nil, err
		}
	}
	switch {
	case len(words) == 1 && words[0] == "ready":
		session.client = protocol.NewClient(stream{s})
		return session, nil
	case len(words) == 2 && words[0] == "unknown":
		err = &MachineError{Server: c.Server, Machine: words[1]}
	default:
		err = fmt.Errorf("%s: the daemon cannot be put in its place: %s: %s", c.Server, strings.Join(words, " "), s.tail.text())
	}
	s.session.Close()
	return nil, err
}

// startScript finds the daemon for the machine, takes it from standard input if
// it is not there, and becomes it. The compressed program goes into a file that
// must not exist before, is checked by the server itself, reaches the disk, and
// only then gets its name.
func startScript(digests map[string]string) string {
	machines := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
	var cases strings.Builder
	for _, arch := range slices.Sorted(mapKeys(digests)) {
		if m := machines[arch]; m != "" {
			fmt.Fprintf(&cases, "%s) sum=%s;; ", m, digests[arch])
		}
	}
	return `umask 022; PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH; cd /; ` +
		`machine=$(uname -m); case $machine in ` + cases.String() + `*) echo "$word unknown $machine"; exit 1;; esac; ` +
		`dir=` + Root + `/$sum; ` +
		`if ! [ -x "$dir/holdfastd" ]; then ` +
		`echo "$word missing $machine"; read -r size || exit 1; ` +
		`die() { echo "$word failed $1"; exit 1; }; ` +
		`mkdir -p "$dir" && chown root:root ` + Root + ` "$dir" && chmod 755 ` + Root + ` "$dir" || die mkdir; ` +
		`find "$dir" -name ".new-*" -mmin +60 -delete; ` +
		`new=$dir/.new-$word; trap "rm -f $new" EXIT; trap "exit 1" HUP INT TERM; set -C; ` +
		`head -c "$size" | gzip -dc >"$new" || die unpack; ` +
		`echo "$sum  $new" | sha256sum -c --status || die checksum; ` +
		`chmod 755 "$new" && sync "$new" && mv -f "$new" "$dir/holdfastd" && sync "$dir" ` + Root + ` || die rename; ` +
		`trap - EXIT HUP INT TERM; fi; ` +
		// On a terminal both streams are one, and only the protocol may use it.
		`if [ -t 2 ]; then exec 2>/dev/null; fi; ` +
		`echo "$word ready"; exec "$dir/holdfastd" serve`
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// upload sends the daemon to a script that waits for it, and returns the
// script's next words.
func (c *Conn) upload(ctx context.Context, s *script, digests map[string]string, machine string) ([]string, error) {
	arch := map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[machine]
	if digests[arch] == "" {
		return nil, &MachineError{Server: c.Server, Machine: machine}
	}
	packed, err := c.desk.pack(arch, digests[arch])
	if err != nil {
		return nil, err
	}
	if c.desk.config.Progress != nil {
		c.desk.config.Progress(c.Server, fmt.Sprintf("sending holdfastd (%.1f MB)", float64(len(packed))/1e6))
	}
	c.desk.total.uploads.Add(1)
	c.stats.uploads.Add(1)
	moved := make(chan struct{}, 1)
	type end struct {
		words []string
		err   error
	}
	done := make(chan end, 1)
	go func() {
		err := s.send(packed, moved)
		if err != nil {
			done <- end{err: err}
			return
		}
		words, err := s.listen("", nil)
		done <- end{words, err}
	}()
	stall := time.NewTimer(c.desk.limits.stall)
	defer stall.Stop()
	for {
		select {
		case <-moved:
			stall.Reset(c.desk.limits.stall)
		case e := <-done:
			if e.err != nil {
				return nil, c.lost(e.err)
			}
			return e.words, nil
		case <-stall.C:
			late := &TimeoutError{Server: c.Server, Phase: "sending holdfastd", After: c.desk.limits.stall}
			c.end(late)
			return nil, late
		case <-ctx.Done():
			c.end(context.Cause(ctx))
			return nil, fmt.Errorf("%s: %w", c.Server, context.Cause(ctx))
		}
	}
}

// send writes the size and the bytes, and tells of each piece.
func (s *script) send(packed []byte, moved chan<- struct{}) error {
	if _, err := fmt.Fprintln(s.stdin, len(packed)); err != nil {
		return err
	}
	for piece := range slices.Chunk(packed, 256<<10) {
		if _, err := s.stdin.Write(piece); err != nil {
			return err
		}
		select {
		case moved <- struct{}{}:
		default:
		}
	}
	return nil
}

// pack returns the compressed daemon, which is the same for many servers.
func (d *Desk) pack(arch, digest string) ([]byte, error) {
	d.packing.Lock()
	defer d.packing.Unlock()
	if packed := d.packed[digest]; packed != nil {
		return packed, nil
	}
	program, err := d.config.Binaries.For(arch)
	if err != nil {
		return nil, fmt.Errorf("unpacking holdfastd for %s: %w", arch, err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(program); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	d.packed[digest] = b.Bytes()
	return b.Bytes(), nil
}

// A stream is a script's input and output as one.
type stream struct{ s *script }

func (s stream) Read(p []byte) (int, error)  { return s.s.out.Read(p) }
func (s stream) Write(p []byte) (int, error) { return s.s.stdin.Write(p) }
func (s stream) Close() error                { return s.s.stdin.Close() }

// Call is [protocol.Client.Call]; a connection that is gone is a [*LostError].
func (s *Session) Call(ctx context.Context, op protocol.Op, in, out any, onEvent func(protocol.Event)) error {
	err := s.client.Call(ctx, op, in, out, onEvent)
	var closed *protocol.ClosedError
	if errors.As(err, &closed) {
		return s.lost(closed)
	}
	return err
}

// Connect opens a connection to the canary that the daemon runs, see
// [protocol.OpCanary]; it is a [Target.Through].
func (s *Session) Connect(ctx context.Context) (net.Conn, error) {
	return s.client.Connect(ctx)
}

// lost says whether the daemon ended or the connection did.
func (s *Session) lost(err error) error {
	clock := time.NewTimer(time.Second)
	defer clock.Stop()
	select {
	case <-s.script.exited:
	case <-s.Conn.ended:
		return s.Conn.lost(err)
	case <-clock.C:
		return s.Conn.lost(err)
	}
	var missing *ssh.ExitMissingError
	if errors.As(s.script.exit, &missing) { // the channel went before the daemon did
		select {
		case <-s.Conn.ended:
		case <-clock.C:
		}
		return s.Conn.lost(s.script.exit)
	}
	how := "status 0"
	if s.script.exit != nil {
		how = protocol.Clean(s.script.exit.Error())
	}
	return &LostError{Server: s.Conn.Server, Err: fmt.Errorf("holdfastd has ended: %s: %s: %w", how, s.Stderr(), err)}
}

// Done is closed when the conversation has ended, from whichever side.
func (s *Session) Done() <-chan struct{} { return s.client.Done() }

// Stderr returns the end of what the daemon has said on its standard error.
func (s *Session) Stderr() string { return s.script.tail.text() }

// Close ends the conversation, gives the daemon some seconds to end, too, and
// closes the connection. It may be called twice.
func (s *Session) Close() error {
	s.client.Close()
	if s.script.terminal { // a raw terminal has no end of input, but it can be hung up
		s.script.session.Close()
	}
	clock := time.NewTimer(closeGrace)
	defer clock.Stop()
	select {
	case <-s.script.exited:
	case <-s.Conn.ended:
	case <-clock.C:
	}
	return s.Conn.Close()
}
