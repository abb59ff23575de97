package desk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/server/protocol"
	"golang.org/x/crypto/ssh"
)

// maxJumps is how many jump hosts may stand before a server.
const maxJumps = 8

// maxGreeting is how many connections to one address may be between TCP and
// login at once: a daemon turns more away at random (MaxStartups, 10 by default).
const maxGreeting = 8

// maxTired is how often a server is dialled again that grew tired of waiting for
// the operator's answers, which are known then.
const maxTired = 2

// errTired says that a server did.
var errTired = errors.New("the server grew tired of waiting for an answer")

// A Conn is a connection to a server on which an account is logged in. Its
// methods may be called by several goroutines.
type Conn struct {
	// Server is the target's name, User who is logged in.
	Server, User string
	// Address is what was dialled, as host:port.
	Address string
	// HostKey is the SHA-256 fingerprint of the key that the server has proven.
	HostKey string
	// Coded says that the server has asked for a code after the key.
	Coded bool

	desk   *Desk
	login  Login
	client *ssh.Client
	link   *link
	stats  stats
	total  *stats // the desk's
	jump   *Conn
	shared bool // a jump host's, that outlives what goes through it

	ended chan struct{}
	once  sync.Once
	why   error
}

// Dial logs in to t over a new connection. ctx limits the dialling only.
//
// Its error is one of [*HostKeyChangedError], [*UnknownHostKeyError],
// [*LoginError], [*TurnedAwayError], [*TimeoutError] and [*UnaskedError], or
// comes from the network, the ssh configuration or the Prompter.
func (d *Desk) Dial(ctx context.Context, t Target) (*Conn, error) {
	return d.dial(ctx, t, false, 0)
}

func (d *Desk) dial(ctx context.Context, t Target, strict bool, depth int) (*Conn, error) {
	if depth > maxJumps {
		return nil, fmt.Errorf("%s: more than %d jump hosts", t.Name, maxJumps)
	}
	s, err := d.lookUp(ctx, t.Address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	if t, err = withJump(t, s); err != nil {
		return nil, err
	}
	held, err := d.held(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	candidates, err := d.candidates(t, s, held)
	if err != nil {
		return nil, err
	}
	var refused error
	for _, as := range candidates {
		c, err := d.connect(ctx, t, s, as, strict, depth)
		for range maxTired {
			if !errors.Is(err, errTired) {
				break
			}
			c, err = d.connect(ctx, t, s, as, strict, depth)
		}
		if errors.Is(err, errNoCode) {
			if err := d.outwait(ctx, t); err != nil {
				return nil, err
			}
			c, err = d.connect(ctx, t, s, as, strict, depth)
		}
		var login *LoginError
		switch {
		case err == nil:
			if t.Through == nil {
				d.remember(t.Name, as.User)
			}
			return c, nil
		case !errors.As(err, &login) || login.Server != t.Name:
			return nil, err
		}
		refused = errors.Join(refused, err)
	}
	return nil, refused
}

// withJump gives t the jump host of the ssh configuration, unless it has one.
func withJump(t Target, s *settings) (Target, error) {
	if t.Jump != nil || t.Through != nil {
		return t, nil
	}
	if s.proxyJump != "" {
		jump, err := parseJumps(s.proxyJump)
		if err != nil {
			return t, fmt.Errorf("%s: %w", t.Name, err)
		}
		t.Jump = jump
	} else if s.proxyCommand != "" {
		return t, fmt.Errorf("%s: the ssh configuration reaches %s by a ProxyCommand, which is not supported", t.Name, t.Address)
	}
	return t, nil
}

// connect makes one connection and logs in as one account.
func (d *Desk) connect(ctx context.Context, t Target, s *settings, as candidate, strict bool, depth int) (*Conn, error) {
	host, port := t.Address, t.Port
	if s.hostName != "" {
		host = s.hostName
	}
	if port == 0 {
		port = s.port
	}
	if port == 0 {
		port = 22
	}
	c := &Conn{Server: t.Name, User: as.User, Address: hostPort(host, port), desk: d, login: as.Login, ended: make(chan struct{})}
	pins, err := d.pins(t, c.Address, s.knownHosts, strict)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	leave, err := d.enter(ctx, t.Name+" "+c.Address)
	if err != nil {
		return nil, err
	}
	defer leave()
	raw, err := d.reach(ctx, c, t, strict, depth)
	if err != nil {
		return nil, err
	}
	if err := d.shake(ctx, c, t, raw, as, pins); err != nil {
		c.drop(raw)
		return nil, err
	}
	go c.keepAlive()
	return c, nil
}

// reach makes the network connection, through the jump host if there is one.
func (d *Desk) reach(ctx context.Context, c *Conn, t Target, strict bool, depth int) (net.Conn, error) {
	network := "tcp" + string(t.Family)
	limit := d.limits.connect
	if t.Jump != nil && t.Through == nil {
		jump, err := d.jump(ctx, *t.Jump, strict, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: through the jump host: %w", t.Name, err)
		}
		c.jump = jump
	}
	timed, stop := context.WithTimeoutCause(ctx, limit, &TimeoutError{Server: t.Name, Phase: "connecting", After: limit})
	defer stop()
	var raw net.Conn
	var err error
	switch {
	case t.Through != nil:
		raw, err = t.Through(timed)
	case c.jump != nil:
		raw, err = c.jump.client.DialContext(timed, network, c.Address)
	default:
		raw, err = (&net.Dialer{}).DialContext(timed, network, c.Address)
	}
	if err != nil {
		c.drop(nil)
		var late *TimeoutError
		if errors.As(context.Cause(timed), &late) && ctx.Err() == nil {
			return nil, late
		}
		if c.jump != nil {
			return nil, fmt.Errorf("%s: from the jump host %s: %w", t.Name, c.jump.Server, clean(err))
		}
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return raw, nil
}

// drop closes what a failed attempt has opened.
func (c *Conn) drop(raw net.Conn) {
	if raw != nil {
		raw.Close()
	}
	if c.jump != nil && !c.jump.shared {
		c.jump.Close()
	}
}

// errNoCode says that a server has demanded a second factor and asked for none,
// as it does after three logins in half a minute.
var errNoCode = errors.New("the server demands a code and asks for none: it has seen three logins in 30 seconds, or it has no second factor of this account")

// outwait waits until a server takes codes again.
func (d *Desk) outwait(ctx context.Context, t Target) error {
	if d.config.Progress != nil {
		d.config.Progress(t.Name, "waiting half a minute: it has seen three codes")
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", t.Name, context.Cause(ctx))
	case <-time.After(d.limits.rate):
		return nil
	}
}

// enter waits for a place among the connections that one address is greeting.
func (d *Desk) enter(ctx context.Context, address string) (leave func(), err error) {
	d.mu.Lock()
	gate := d.gates[address]
	if gate == nil {
		gate = make(chan struct{}, maxGreeting)
		d.gates[address] = gate
	}
	d.mu.Unlock()
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// shake does the key exchange and the login.
func (d *Desk) shake(ctx context.Context, c *Conn, t Target, raw net.Conn, as candidate, pins *pins) error {
	c.total = &d.total
	if t.Through != nil {
		c.total = new(stats) // what it runs inside of is counted
	}
	c.link = newLink(raw, c.total, &c.stats)
	w := newWatch(t.Name, raw)
	unlink := context.AfterFunc(ctx, w.close)
	defer unlink()
	defer w.stop()
	a := &attempt{desk: d, target: t, as: as, watch: w, link: c.link}
	keyed := false
	w.begin("exchanging keys", d.limits.exchange)
	conn, channels, requests, err := ssh.NewClientConn(c.link, c.Address, &ssh.ClientConfig{
		User:              as.User,
		HostKeyAlgorithms: pins.algorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if err := pins.check(ctx, key, w.paused); err != nil {
				return err
			}
			c.HostKey, keyed = ssh.FingerprintSHA256(key), true
			w.begin("logging in", d.limits.login)
			return nil
		},
		AuthCallback:   func(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) { return a.next(ctx, state) },
		ClientVersion:  "SSH-2.0-Holdfast",
		BannerCallback: func(string) error { return nil },
	})
	if err != nil {
		if expired := w.expired(); expired != nil {
			return expired
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", t.Name, context.Cause(ctx))
		}
		return d.explain(c, t, a, pins, keyed, err)
	}
	if !pins.strict && !t.foreign && d.config.KnownHosts != "" {
		requests = d.learn(context.WithoutCancel(ctx), conn, t, c.Address, requests)
	}
	c.client, c.Coded = ssh.NewClient(conn, channels, requests), a.coded
	if as.MustCode && !a.coded {
		conn.Close()
		c.count()
		return &LoginError{Server: t.Name, User: as.User, Why: "a key alone was enough, and a code should have been asked for"}
	}
	return nil
}

// explain turns the library's error into ours.
func (d *Desk) explain(c *Conn, t Target, a *attempt, pins *pins, keyed bool, err error) error {
	var login *LoginError
	var changed *HostKeyChangedError
	var unknown *UnknownHostKeyError
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &changed):
		return changed
	case errors.As(err, &unknown):
		return unknown
	case errors.As(err, &login):
		c.count()
		if t.Through == nil {
			d.forget(Question{Kind: LoginPassword, Server: t.Name, Account: a.as.User})
		}
		return login
	case a.watch.failed() != nil:
		return fmt.Errorf("%s: %w", t.Name, a.watch.failed())
	case errors.As(err, &negotiation) && len(pins.keys) > 0 && strings.Contains(negotiation.What, "host key"):
		return pins.missing(cleanAll(negotiation.RequestedAlgorithms))
	case a.watch.waited() > d.limits.patience:
		return fmt.Errorf("%s: %w: %w", t.Name, errTired, clean(err))
	case keyed && a.offered != nil && !errors.Is(err, errHungUp):
		// It was the login that failed, such as by a daemon that has counted
		// enough keys and hangs up.
		c.count()
		if a.codeTried && !a.coded && strings.Contains(err.Error(), "(expected 60)") {
			err = errNoCode
		}
		return &LoginError{Server: t.Name, User: a.as.User, Err: clean(err)}
	case !keyed && !strings.Contains(string(c.link.said()), "SSH-"):
		text, _, _ := strings.Cut(protocol.Clean(string(c.link.said())), "\n")
		return &TurnedAwayError{Server: t.Name, Text: text, Err: err}
	}
	return fmt.Errorf("%s: %w", t.Name, clean(err))
}

func (c *Conn) count() {
	c.total.failed.Add(1)
	c.stats.failed.Add(1)
}

// A cleaned error is one whose text may come from a server.
type cleaned struct{ error }

func clean(err error) error { return cleaned{err} }

func (e cleaned) Error() string { return protocol.Clean(e.error.Error()) }
func (e cleaned) Unwrap() error { return e.error }

// Algorithms returns what the server's daemon offered when it greeted.
func (c *Conn) Algorithms() (Algorithms, error) { return ParseAlgorithms(c.link.said()) }

// Counts returns what this connection has cost so far, less its jump hosts.
func (c *Conn) Counts() Counts { return c.stats.counts() }

// Close ends the connection, and those to its jump hosts. It may be called
// twice.
func (c *Conn) Close() error {
	return c.end(errors.New("it was closed here"))
}

func (c *Conn) end(why error) error {
	var err error
	c.once.Do(func() {
		c.why = why
		close(c.ended)
		err = c.client.Close()
		if c.jump != nil && !c.jump.shared {
			err = errors.Join(err, c.jump.Close())
		}
	})
	return err
}

// lost says why the connection has ended, as far as it is known.
func (c *Conn) lost(err error) *LostError {
	select {
	case <-c.ended:
		err = c.why
	default:
	}
	return &LostError{Server: c.Server, Err: clean(err)}
}

// keepAlive notices a server that is gone: TCP alone would wait for minutes.
func (c *Conn) keepAlive() {
	gone := make(chan error, 1)
	go func() { gone <- c.client.Wait() }()
	beat := time.NewTicker(c.desk.limits.alive)
	defer beat.Stop()
	answered := make(chan error, 1)
	waiting := false
	for {
		select {
		case err := <-gone:
			if err == nil {
				err = errors.New("the server hung up")
			}
			c.end(err)
			return
		case <-c.ended:
			return
		case err := <-answered:
			if err != nil {
				c.end(err)
				return
			}
			waiting = false
		case <-beat.C:
			if waiting {
				c.end(&TimeoutError{Server: c.Server, Phase: "answering a sign of life", After: c.desk.limits.alive})
				return
			}
			waiting = true
			go func() {
				_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
				answered <- err
			}()
		}
	}
}
