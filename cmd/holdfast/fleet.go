package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/term"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/site"
)

// perServer is the longest time that one server may take for one command.
const perServer = 20 * time.Minute

// A fleet is the servers that a command is about, and how to reach them.
type fleet struct {
	*app
	site     *site.Site
	secrets  *site.Secrets
	desk     *desk.Desk
	servers  []site.Server
	progress *progress
	// run names what a command does to its servers; empty as long as it only
	// looks.
	run    string
	keeper *keeper
}

// fleet opens the site for a command about the named servers, or all.
func (a *app) fleet(names []string) (*fleet, error) {
	s, err := a.loadSite()
	if err != nil {
		return nil, err
	}
	f := &fleet{app: a, site: s}
	if f.servers, err = choose(s, names); err != nil {
		return nil, err
	}
	if a.as != "" && !slices.ContainsFunc(s.Admins, func(one site.Admin) bool { return one.Name == a.as }) {
		return nil, usage("--as %s: the site has no such admin", a.as)
	}
	if f.secrets, err = a.secrets(); err != nil {
		return nil, err
	}
	f.keeper = a.newKeeper(s)
	memory, err := desk.MemoryFile()
	if err != nil {
		memory = "" // without a home nothing is remembered
	}
	f.progress = newProgress(a.output, terminalWidth(), serverNames(f.servers))
	f.desk = desk.New(desk.Config{
		Site:              s.Name,
		KnownHosts:        filepath.Join(filepath.Dir(a.sitePath), "known_hosts"),
		AcceptNewHostKeys: a.acceptNew,
		Prompter:          &prompter{app: a, secrets: f.secrets, progress: f.progress.pause},
		Binaries:          a.daemons,
		KeyFiles:          a.keyFiles(),
		CodesPerServer:    s.SecondFactor != nil && s.SecondFactor.Codes == server.CodesPerServer,
		Memory:            memory,
		Progress:          func(name, what string) { f.progress.set(name, "%s", what) },
	})
	return f, nil
}

// keyFiles are the private keys that lie beside the site file and those that
// were named.
func (a *app) keyFiles() []string {
	all := slices.Clone(a.keys)
	dir := filepath.Dir(a.sitePath)
	for _, pattern := range []string{filepath.Join(dir, "*.pub"), filepath.Join(dir, "keys", "*.pub")} {
		found, _ := filepath.Glob(pattern) // only a malformed pattern fails
		for _, public := range found {
			private := public[:len(public)-len(".pub")]
			if _, err := os.Stat(private); err == nil {
				all = append(all, private)
			}
		}
	}
	return all
}

func choose(s *site.Site, names []string) ([]site.Server, error) {
	if len(names) == 0 {
		return s.Servers, nil
	}
	var chosen []site.Server
	for _, n := range names {
		srv, ok := s.Server(n)
		if !ok {
			return nil, usage("site %s has no server %q", s.Name, n)
		}
		if !slices.ContainsFunc(chosen, func(one site.Server) bool { return one.Name == n }) {
			chosen = append(chosen, srv)
		}
	}
	return chosen, nil
}

func serverNames(all []site.Server) []string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	return names
}

func terminalWidth() int {
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// who is the person at the desk, for the journals of servers.
func who() (name, host string) {
	name, host = "unknown", "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name, host
}

// logins are the accounts of the admins, the one of --as first and alone.
func (f *fleet) logins() []desk.Login {
	var all []desk.Login
	for _, admin := range f.site.Admins {
		if f.as == "" || f.as == admin.Name {
			all = append(all, desk.Login{User: admin.Name, Keys: admin.Keys})
		}
	}
	return all
}

// firstLogin is the account that a provider hands out.
func firstLogin(srv site.Server) desk.Login {
	return desk.Login{User: srv.FirstLogin, Password: true}
}

// target is a server as the desk reaches it.
func (f *fleet) target(srv site.Server, logins ...desk.Login) desk.Target {
	t := desk.Target{Name: srv.Name, Address: srv.Address, Port: srv.Port, Logins: logins}
	if jump, ok := f.site.Server(srv.Jump); ok && srv.Jump != "" {
		through := f.target(jump, append(f.logins(), firstLogin(jump))...)
		t.Jump = &through
	}
	return t
}

// A session is a conversation with the daemon on a server.
type session struct {
	*desk.Session
	// user is who logged in.
	user string
}

// connect logs in to a server, becomes root and greets the daemon.
func (f *fleet) connect(ctx context.Context, srv site.Server) (*session, error) {
	return f.connectAs(ctx, f.target(srv, append(f.logins(), firstLogin(srv))...))
}

func (f *fleet) connectAs(ctx context.Context, t desk.Target) (*session, error) {
	f.progress.set(t.Name, "connecting")
	conn, err := f.desk.Dial(ctx, t)
	if err != nil {
		return nil, err
	}
	s, err := conn.Start(ctx)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := f.lend(ctx, s, t.Name); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &session{Session: s, user: conn.User}, nil
}

// greet asks what kind of server it is and refuses one that Holdfast must not
// change.
func (f *fleet) greet(ctx context.Context, s *session) (protocol.Welcome, error) {
	var w protocol.Welcome
	err := s.Call(ctx, protocol.OpHello, protocol.Hello{Site: f.site.Name, Version: version}, &w, nil)
	if err == nil && w.Facts.Refusal != "" {
		err = errors.New(w.Facts.Refusal)
	}
	return w, err
}

// each calls do for every server, side by side, and returns their errors in the
// order of the servers.
func (f *fleet) each(ctx context.Context, do func(context.Context, int, site.Server) error) []error {
	indices := make([]int, len(f.servers))
	for i := range indices {
		indices[i] = i
	}
	return desk.Each(ctx, indices, 50, perServer, func(ctx context.Context, i int) error {
		return do(ctx, i, f.servers[i])
	})
}

// config is what a server is told.
func (f *fleet) config(srv site.Server) (server.Config, error) { return f.site.Config(srv.Name) }

// families are the targets of a server over each address family that it has.
func families(t desk.Target, srv site.Server) []desk.Target {
	if srv.Address6 == "" {
		return []desk.Target{t}
	}
	six := t
	six.Address, six.Family = srv.Address6, desk.IPv6
	if a, err := netip.ParseAddr(srv.Address); err == nil && a.Is4() {
		t.Family = desk.IPv4
	}
	return []desk.Target{t, six}
}

// failed prints the errors of servers and returns how to end: nil if there were
// none.
func (f *fleet) failed(errs []error, all int) error {
	code := exitOK
	for i, err := range errs {
		if err == nil {
			continue
		}
		f.report(f.servers[i].Name, err)
		if c := statusOf(err); worse(c, code) {
			code = c
		}
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code: code, quiet: true}
}

// worse orders exit statuses: not knowing is the worst.
func worse(a, b int) bool {
	order := []int{exitOK, exitFindings, exitFailed, exitRolledBack, exitUnknown}
	return slices.Index(order, a) > slices.Index(order, b)
}
