package desk

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/protocol"
)

// codeStep is how long a code lasts (RFC 6238). Servers take it one step longer.
const codeStep = 30 * time.Second

// rateLimit is for how long a server that has seen three logins takes no code.
const rateLimit = 31 * time.Second

// codes is what a desk can answer where a server asks for a code. A code opens a
// server once, so it remembers where one was used.
type codes struct {
	mu    sync.Mutex
	typed map[codePlace]typedCode
	spent map[codePlace]string
	lent  map[codePlace][]string
}

// A codePlace is an account on a server, or on all where server is empty.
type codePlace struct {
	server, account string
	// through is what the server would become ([Target.Through]): what is used
	// up there is not used up on the server.
	through bool
}

type typedCode struct {
	code string
	at   time.Time
}

// Lend gives the desk single-use codes for an account on a server, which are
// answered in place of asking.
func (d *Desk) Lend(name, account string, lent []string) {
	d.codes.mu.Lock()
	defer d.codes.mu.Unlock()
	if d.codes.lent == nil {
		d.codes.lent = map[codePlace][]string{}
	}
	d.codes.lent[codePlace{server: name, account: account}] = append([]string(nil), lent...)
}

// LendThrough gives the desk the codes that work on what a server would become:
// a copy of those that are left on the server, and further ones by account.
func (d *Desk) LendThrough(name string, further map[string][]string) {
	d.codes.mu.Lock()
	defer d.codes.mu.Unlock()
	if d.codes.lent == nil {
		d.codes.lent = map[codePlace][]string{}
	}
	for at, left := range d.codes.lent {
		if at.server == name && !at.through {
			at.through = true
			d.codes.lent[at] = append([]string(nil), left...)
		}
	}
	for account, lent := range further {
		d.codes.lent[codePlace{name, account, true}] = append([]string(nil), lent...)
	}
}

// code answers a server's question for a code: with one that was lent, with the
// one that a person has typed if this server has not seen it, or by asking.
func (d *Desk) code(ctx context.Context, a *attempt, text string) (server.Secret, error) {
	at := codePlace{a.target.Name, a.as.User, a.target.Through != nil}
	d.codes.mu.Lock()
	if lent := d.codes.lent[at]; len(lent) > 0 && !a.wrongCode {
		d.codes.lent[at] = lent[1:]
		d.codes.mu.Unlock()
		return server.NewSecret(lent[0]), nil
	}
	d.codes.mu.Unlock()
	// One question at a time, so that a second login finds the first's answer.
	d.asking.Lock()
	defer d.asking.Unlock()
	whose := codePlace{account: a.as.User}
	if d.config.CodesPerServer {
		whose.server = a.target.Name
	}
	d.codes.mu.Lock()
	known, spent := d.codes.typed[whose], d.codes.spent[at]
	d.codes.mu.Unlock()
	fresh := known.code != "" && time.Since(known.at) < codeStep
	if !fresh || known.code == spent || a.wrongCode {
		q := Question{
			Kind: Code, Server: a.target.Name, Account: a.as.User, Text: text,
			Again: a.wrongCode, Spent: spent != "" && !a.wrongCode,
		}
		if d.config.Prompter == nil {
			return server.Secret{}, &UnaskedError{Question: q}
		}
		secret, err := d.config.Prompter.Secret(ctx, q)
		if err != nil {
			return server.Secret{}, err
		}
		known = typedCode{strings.ReplaceAll(strings.TrimSpace(secret.Reveal()), " ", ""), time.Now()}
	}
	d.codes.mu.Lock()
	defer d.codes.mu.Unlock()
	if d.codes.typed == nil {
		d.codes.typed, d.codes.spent = map[codePlace]typedCode{}, map[codePlace]string{}
	}
	d.codes.typed[whose], d.codes.spent[at] = known, known.code
	return server.NewSecret(known.code), nil
}

// forCode reports whether a server's question is for a code: an unconverted one
// may ask for a password in the same way.
func forCode(text string) bool {
	return !strings.Contains(strings.ToLower(protocol.Clean(text)), "password")
}

// sharedJumps are the connections to jump hosts that have asked for a code. They
// are kept until the Desk is closed: a jump host takes three codes in half a
// minute, and there may be more servers behind it.
type sharedJumps struct {
	mu    sync.Mutex
	hosts map[string]*jumpHost
}

type jumpHost struct {
	mu sync.Mutex // held while it is dialled for the first time, or anew
	// plain says that it asks for no code, so that there is nothing to share.
	plain bool
	conn  *Conn
}

// jump returns a connection to a jump host.
func (d *Desk) jump(ctx context.Context, t Target, strict bool, depth int) (*Conn, error) {
	// With its place in the chain, or jump hosts in a circle would wait for
	// themselves.
	key := fmt.Sprintf("%d %s %s", depth, t.Name, t.Address)
	d.jumps.mu.Lock()
	if d.jumps.hosts == nil {
		d.jumps.hosts = map[string]*jumpHost{}
	}
	h := d.jumps.hosts[key]
	if h == nil {
		h = &jumpHost{}
		d.jumps.hosts[key] = h
	}
	d.jumps.mu.Unlock()
	h.mu.Lock()
	if h.plain {
		h.mu.Unlock()
		return d.dial(ctx, t, strict, depth)
	}
	defer h.mu.Unlock()
	if h.conn != nil {
		select {
		case <-h.conn.ended:
		default:
			return h.conn, nil
		}
	}
	c, err := d.dial(ctx, t, strict, depth)
	if err == nil {
		c.shared, h.plain = c.Coded, !c.Coded
	}
	if err == nil && c.Coded {
		h.conn = c
	}
	return c, err
}

func (s *sharedJumps) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosts {
		if h.conn != nil {
			h.conn.Close()
		}
	}
	clear(s.hosts)
}
