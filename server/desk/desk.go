package desk

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Family restricts which addresses of a server are used.
type Family string

// The families.
const (
	AnyFamily Family = ""
	IPv4      Family = "4"
	IPv6      Family = "6"
)

// A Target is a server that is to be reached.
type Target struct {
	// Name is the server's name in the site. Its host key is pinned under it,
	// whatever its address and port are.
	Name string
	// Address is an IP address, a DNS name, or a Host of ~/.ssh/config.
	Address string
	// Port is sshd's; 0 means what ~/.ssh/config says, or 22.
	Port   int
	Family Family
	// Logins are the accounts to try, in order.
	Logins []Login
	// Jump is the server to go through; nil means straight, or what
	// ~/.ssh/config says.
	Jump *Target
	// Through, if not nil, makes the network connection in place of all of the
	// above. What answers is not the server itself but what it would become: it
	// must prove the same host key, and nothing that it does is remembered or
	// counted among the Desk's [Counts].
	Through func(ctx context.Context) (net.Conn, error)

	// foreign marks a jump host out of ~/.ssh/config, which no site vouches for:
	// the operator's own known_hosts files count for it.
	foreign bool
}

// A Login is an account and how to get into it.
type Login struct {
	User string
	// Keys are the account's public keys in authorized_keys format. If there are
	// any, no other key is offered, and without one of them at the desk the
	// account is not tried unless Password is set.
	Keys []string
	// AnyKey makes [Desk.Try] offer what keys there are at the desk if Keys is
	// empty.
	AnyKey bool
	// Password allows a password to be asked for, for a server that has no
	// better way in yet.
	Password bool
	// MustCode makes a login count only if the server has asked for a code after
	// the key.
	MustCode bool
	// KeyOnly answers no question after the key was taken.
	KeyOnly bool
	// Secret gives the password for the login; nil means that the [Prompter] is
	// asked.
	Secret func(ctx context.Context) (server.Secret, error)
	// Code answers the questions that a server asks after it has accepted the
	// key; nil means that the [Prompter] is asked.
	Code func(ctx context.Context, question string) (server.Secret, error)
	// Sudo gives the password for sudo; nil means that the Prompter is asked.
	Sudo func(ctx context.Context) (server.Secret, error)
}

// A Prompter asks the operator. A Desk never asks two things at once.
type Prompter interface {
	// Secret asks for a secret.
	Secret(ctx context.Context, q Question) (server.Secret, error)
	// AcceptHostKey asks whether a host key that was never seen is the right
	// one.
	AcceptHostKey(ctx context.Context, k HostKey) (bool, error)
}

// What a [Question] asks for.
type Kind string

// The kinds of question.
const (
	LoginPassword Kind = "login password"
	SudoPassword  Kind = "sudo password"
	Passphrase    Kind = "passphrase"
	Code          Kind = "code"
)

// A Question is what a [Prompter] is asked.
type Question struct {
	Kind Kind
	// Server and Account say what for; both are empty for a Passphrase.
	Server, Account string
	// File is the key file that a Passphrase opens.
	File string
	// Text is the server's own question for a Code, cleaned.
	Text string
	// Again says that the answer before was wrong.
	Again bool
	// Spent says that the server has seen the code that is known already, so
	// that the next one is needed.
	Spent bool
}

// Binaries are the daemon's programs that a desk carries.
type Binaries interface {
	// Digests returns the SHA-256 of each program in hex, by Go's name of its
	// architecture. It must be cheap.
	Digests() map[string]string
	// For returns the program for an architecture that Digests names.
	For(goarch string) ([]byte, error)
}

// A Config is what a [Desk] is made of. The zero value reaches servers that
// need no question answered; it carries no daemon.
type Config struct {
	// Site is the site's name, for remembering logins.
	Site string
	// KnownHosts is the path of the site's known_hosts file. It is created when
	// the first key is pinned. Empty means that no key can be pinned.
	KnownHosts string
	// AcceptNewHostKeys pins keys that were never seen without asking. Whoever
	// sets it trusts the network of that moment.
	AcceptNewHostKeys bool
	// Prompter may be nil: then whatever would have to be asked fails.
	Prompter Prompter
	Binaries Binaries
	// Memory is the path of the file that remembers which login worked; empty
	// means that nothing is remembered beyond this Desk. See [MemoryFile].
	Memory string
	// KeyFiles are private key files to look at besides those of the ssh
	// configuration.
	KeyFiles []string
	// SSHConfig is the path of the ssh configuration; empty means the
	// operator's and the system's.
	SSHConfig string
	// CodesPerServer says that each server has codes of its own; otherwise an
	// account's code opens all servers.
	CodesPerServer bool
	// Progress, if not nil, is told what is being done when it takes longer,
	// such as an upload. It may be called from several goroutines.
	Progress func(server, what string)
	// Log gets debugging output; nil means none.
	Log *slog.Logger
}

// A Desk reaches servers. It may be used by several goroutines.
type Desk struct {
	config Config
	limits limits
	log    *slog.Logger
	total  stats
	memory memory

	asking sync.Mutex // one question at a time
	codes  codes
	jumps  sharedJumps

	mu        sync.Mutex
	settings  map[string]*settings
	files     map[string]*fileKey
	agents    map[string]*agentKeys
	passwords map[Question]server.Secret
	gates     map[string]chan struct{}
	packed    map[string][]byte

	pinning sync.Mutex // the known_hosts file
	packing sync.Mutex // compression of binaries
}

// limits are the longest times of the phases of a connection.
type limits struct {
	connect, exchange, login, start, alive time.Duration
	// stall is how long an upload may stand still.
	stall time.Duration
	// patience is how long a question may take before it is believed to be why
	// the server hung up. Daemons wait for two minutes (LoginGraceTime).
	patience time.Duration
	// rate is how long a server that has seen three codes takes no other.
	rate time.Duration
}

// New returns a Desk.
func New(c Config) *Desk {
	d := &Desk{
		config: c,
		limits: limits{
			connect: 10 * time.Second, exchange: 15 * time.Second, login: 30 * time.Second,
			start: 30 * time.Second, alive: 15 * time.Second, stall: 60 * time.Second, patience: 20 * time.Second,
			rate: rateLimit,
		},
		log:       c.Log,
		memory:    memory{path: c.Memory, site: c.Site},
		settings:  make(map[string]*settings),
		files:     make(map[string]*fileKey),
		agents:    make(map[string]*agentKeys),
		passwords: make(map[Question]server.Secret),
		gates:     make(map[string]chan struct{}),
		packed:    make(map[string][]byte),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// Close forgets the secrets of this run and lets go of the agent. Connections
// live on, except to jump hosts that have asked for a code.
func (d *Desk) Close() error {
	d.jumps.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.agents {
		a.close()
	}
	clear(d.agents)
	clear(d.passwords)
	clear(d.files)
	return nil
}

// Stats returns the sums over all connections so far.
func (d *Desk) Stats() Counts { return d.total.counts() }

// ask asks for a secret, at most once for the same question unless it is asked
// again.
func (d *Desk) ask(ctx context.Context, q Question) (server.Secret, error) {
	d.asking.Lock()
	defer d.asking.Unlock()
	key := q
	key.Again = false
	if q.Kind == SudoPassword {
		key.Server = "" // an admin has one password on all servers of a site
	}
	d.mu.Lock()
	known, ok := d.passwords[key]
	d.mu.Unlock()
	if ok && !q.Again {
		return known, nil
	}
	if d.config.Prompter == nil {
		return server.Secret{}, &UnaskedError{Question: q}
	}
	secret, err := d.config.Prompter.Secret(ctx, q)
	if err != nil {
		return server.Secret{}, err
	}
	if q.Kind != Code {
		d.mu.Lock()
		d.passwords[key] = secret
		d.mu.Unlock()
	}
	return secret, nil
}

// Known returns the password of an account that was used in this run, to log in
// or for sudo. Nobody is asked.
func (d *Desk) Known(name, account string) (server.Secret, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range []Question{
		{Kind: LoginPassword, Server: name, Account: account}, {Kind: SudoPassword, Account: account},
	} {
		if secret, ok := d.passwords[q]; ok {
			return secret, true
		}
	}
	return server.Secret{}, false
}

// forget makes the next question be asked.
func (d *Desk) forget(q Question) {
	if q.Kind == SudoPassword {
		q.Server = ""
	}
	d.mu.Lock()
	delete(d.passwords, q)
	d.mu.Unlock()
}

// Each calls f for each item, at most limit at once (0 means 16), each with a
// deadline of its own (0 means none), and returns their errors in the order of
// the items.
func Each[T any](ctx context.Context, items []T, limit int, timeout time.Duration, f func(context.Context, T) error) []error {
	if limit <= 0 {
		limit = 16
	}
	errs := make([]error, len(items))
	slots := make(chan struct{}, limit)
	var work sync.WaitGroup
	for i, item := range items {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			one := ctx
			if timeout > 0 {
				var stop context.CancelFunc
				one, stop = context.WithTimeout(ctx, timeout)
				defer stop()
			}
			errs[i] = f(one, item)
		})
	}
	work.Wait()
	return errs
}

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
