package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-security/holdfast/internal/durable"
	"github.com/holdfast-security/holdfast/server/protocol"
	"golang.org/x/crypto/ssh"
)

// maxLogins is how many accounts are tried, so that at most one login fails.
const maxLogins = 2

// noKeyHere is why an account is not tried.
const noKeyHere = "none of its keys is in the agent or among the key files of this desk"

// A candidate is a login together with what this desk has to show for it.
type candidate struct {
	Login
	keys []heldKey
	// offered, if not nil, gets the methods that the server takes at first.
	offered *[]string
}

// candidates are the logins of t that are worth a connection, in order: the one
// that worked last time, then as the target lists them.
func (d *Desk) candidates(t Target, s *settings, held []heldKey) ([]candidate, error) {
	logins := t.Logins
	if len(logins) == 0 {
		logins = []Login{{User: s.user}}
	}
	var site []ssh.PublicKey
	for _, l := range logins {
		keys, err := publicKeys(l.Keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.User, err)
		}
		site = append(site, keys...)
	}
	var out []candidate
	for _, l := range logins {
		if l.User == "" {
			l.User = s.user
		}
		wanted, err := publicKeys(l.Keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.User, err)
		}
		keys := offer(held, wanted, site)
		if len(keys) > 0 || l.Password {
			out = append(out, candidate{Login: l, keys: keys})
		}
	}
	if len(out) == 0 {
		users := make([]string, len(logins))
		for i, l := range logins {
			users[i] = l.User
		}
		return nil, &LoginError{Server: t.Name, User: strings.Join(users, " or "), Why: noKeyHere}
	}
	last := d.memory.get(t.Name)
	slices.SortStableFunc(out, func(a, b candidate) int {
		switch {
		case a.User == last && b.User != last:
			return -1
		case b.User == last && a.User != last:
			return 1
		}
		return 0
	})
	return out[:min(len(out), maxLogins)], nil
}

// errHungUp says that a server closed the connection during a login.
var errHungUp = errors.New("the server hung up during the login")

// An attempt is one authentication. Its method next decides what is tried.
type attempt struct {
	desk   *Desk
	target Target
	as     candidate
	watch  *watch
	link   *link
	// offered are the methods that the server takes at first.
	offered []string
	asked   bool // a server's question was put
	// coded says that the server has asked for a code, wrongCode that it did not
	// take the one it got, and codeTried that codes were tried at all.
	coded, wrongCode, codeTried bool
}

// next is called after each method that did not finish the login.
func (a *attempt) next(ctx context.Context, c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	if err := a.watch.failed(); err != nil {
		return nil, err
	}
	if a.link.ended.Load() { // the library takes it for a refusal
		return nil, errHungUp
	}
	if a.offered == nil {
		a.offered = cleanAll(slices.Clone(c.AllowedMethods))
		if a.as.offered != nil {
			*a.as.offered = a.offered
		}
	}
	may := func(method string) bool {
		return slices.Contains(c.AllowedMethods, method) && !slices.Contains(c.TriedMethods, method)
	}
	partly := len(c.PartialSuccessMethods) > 0
	switch {
	case !partly && may("publickey") && len(a.as.keys) > 0:
		signers := make([]ssh.Signer, len(a.as.keys))
		for i, k := range a.as.keys {
			signers[i] = &signer{heldKey: k, desk: a.desk, ctx: ctx, watch: a.watch}
		}
		return ssh.PublicKeys(signers...), nil
	case partly && a.as.KeyOnly:
		return nil, a.refused(c)
	case partly && may("keyboard-interactive") && !a.asked:
		a.asked, a.codeTried = true, true
		return ssh.KeyboardInteractive(a.answer(ctx, Code)), nil
	case partly && a.coded && !a.wrongCode && slices.Contains(c.AllowedMethods, "keyboard-interactive"):
		a.wrongCode = true // it may have been mistyped, or spent elsewhere
		return ssh.KeyboardInteractive(a.answer(ctx, Code)), nil
	case (partly || a.as.Password) && may("password"):
		return ssh.PasswordCallback(func() (string, error) { return a.secret(ctx, LoginPassword, "") }), nil
	// A server that puts the password as a question. Asking all servers cold
	// would hide why a key was refused.
	case a.as.Password && may("keyboard-interactive") && !may("password") && !slices.Contains(c.TriedMethods, "password") && !a.asked:
		a.asked = true
		return ssh.KeyboardInteractive(a.answer(ctx, LoginPassword)), nil
	}
	return nil, a.refused(c)
}

func (a *attempt) refused(c *ssh.ClientAuthContext) error {
	e := &LoginError{Server: a.target.Name, User: a.as.User, Offered: cleanAll(slices.Clone(c.AllowedMethods))}
	for _, m := range c.TriedMethods {
		switch {
		case m == "none":
		case m == "publickey":
			e.Tried = append(e.Tried, fmt.Sprintf("%d key(s)", len(a.as.keys)))
		default:
			e.Tried = append(e.Tried, m)
		}
	}
	if len(e.Tried) == 0 {
		e.Why = "the server takes nothing that this desk has"
	}
	return e
}

// answer answers a server's questions, one at a time.
func (a *attempt) answer(ctx context.Context, kind Kind) ssh.KeyboardInteractiveChallenge {
	return func(_, _ string, questions []string, _ []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i, q := range questions {
			text := strings.TrimSpace(protocol.Clean(q))
			var err error
			if answers[i], err = a.secret(ctx, kind, text); err != nil {
				return nil, err
			}
		}
		return answers, nil
	}
}

func (a *attempt) secret(ctx context.Context, kind Kind, text string) (answer string, err error) {
	err = a.watch.paused(func() error {
		if kind == Code && forCode(text) {
			a.coded = true
		}
		if kind == Code && a.as.Code != nil {
			secret, err := a.as.Code(ctx, text)
			answer = secret.Reveal()
			return err
		}
		if kind == Code && forCode(text) {
			secret, err := a.desk.code(ctx, a, text)
			answer = secret.Reveal()
			return err
		}
		if kind == LoginPassword && a.as.Secret != nil {
			secret, err := a.as.Secret(ctx)
			answer = secret.Reveal()
			return err
		}
		q := Question{Kind: kind, Server: a.target.Name, Account: a.as.User}
		if kind == Code {
			q.Text = text
		}
		secret, err := a.desk.ask(ctx, q)
		answer = secret.Reveal()
		return err
	})
	return answer, err
}

// memory is the file that remembers, for each server of each site, the account
// that could log in. What it forgets costs one failed login, so its own errors
// are nobody's concern.
type memory struct {
	path, site string

	mu    sync.Mutex
	users map[string]string // by site and server
}

// StateDir returns where a desk keeps what it must remember: below
// $XDG_STATE_HOME, or the user's configuration directory.
func StateDir() (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" || !filepath.IsAbs(dir) {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "holdfast"), nil
}

// MemoryFile returns where a desk remembers logins by default: in [StateDir].
func MemoryFile() (string, error) {
	dir, err := StateDir()
	return filepath.Join(dir, "logins.json"), err
}

func (d *Desk) remember(server, user string) {
	if err := d.memory.put(server, user); err != nil {
		d.log.Debug("the login cannot be remembered", "server", server, "error", err)
	}
}

func (m *memory) get(server string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load()
	return m.users[m.site+"/"+server]
}

func (m *memory) put(server, user string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load()
	key := m.site + "/" + server
	if m.users[key] == user {
		return nil
	}
	m.users[key] = user
	if m.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(m.users, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(m.path, append(text, '\n'), 0o600)
}

func (m *memory) load() {
	if m.users != nil {
		return
	}
	m.users = make(map[string]string)
	if m.path == "" {
		return
	}
	if text, err := os.ReadFile(m.path); err == nil && json.Unmarshal(text, &m.users) != nil {
		clear(m.users)
	}
}
