// Package lab makes disposable servers on this machine: Debian as a hosting
// provider hands it out, with a real systemd, journald and sshd, on networks of
// their own.
//
// [Up] makes a lab: servers that share a public and a private network, each
// with IPv4 and IPv6. A lab has an id, and any process of root can find it
// again with [Open], use it, and take it down with [Lab.Down], also when the
// process that made it was killed half way. [Check] says in one line what a
// machine lacks.
//
// How it is built:
//
//   - An image is made once for each suite (debootstrap, security updates,
//     package lists) and is never written to again. A server is an overlay over
//     it, booted by systemd-nspawn.
//   - A lab's two bridges live in a network namespace of the lab, the switch.
//     The machine is the desk: it has one interface there, on the public
//     network, and none on the private one. Nothing is forwarded, so a server
//     reaches the machine, its own lab, and nothing else.
//   - Packages come through one apt-cacher-ng for all labs of the machine. It
//     runs while there is a lab. Its store and the images lie in the cache
//     directory and stay.
//   - Whatever runs for a lab runs in control groups of the lab, whatever is
//     mounted is mounted below the lab's directory, and interfaces carry the
//     lab's number. So everything that a lab owns can be found and removed
//     without a record of it: the list cannot be out of date.
//
// What is not like a machine of its own: the kernel is the machine's, so there
// is no AppArmor, no kernel module, no auditd, no own clock, and /proc/sys
// outside of net is read-only (see [Server.FakeSys]). A reboot typed inside
// powers the server off; [Server.Boot] brings it back.
//
// The one setting of the machine that a lab changes is the limit of inotify
// instances, which it raises until the next boot if it is too low for ten
// servers.
//
// If making a lab fails, what was made is taken down again and the error is
// returned; if taking down fails, the lab's directory stays, so that it can be
// tried again. Names, sizes and passwords in a lab protect nothing: never give
// a lab anything that is worth stealing.
package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// DefaultSuite is the release of Debian that a lab gets when none is named.
const DefaultSuite = "trixie"

// Suites are the releases of Debian that servers can have.
var Suites = []string{"bookworm", "trixie"}

// DefaultServers are the servers that a lab gets when none are named.
var DefaultServers = []string{"app-1", "db-1", "backup-1"}

// ErrDown means that there is no lab with this id.
var ErrDown = errors.New("lab is not up")

// ErrUp means that there is a lab with this id already.
var ErrUp = errors.New("lab is up already")

// A Layer is where a server's changes to its image are kept.
type Layer string

const (
	// Directory keeps changes in the machine's file system. It is the fast
	// default. What a killed server wrote is there, synced or not.
	Directory Layer = "directory"
	// Disk keeps changes in an ext4 file system of the server's own, so that
	// [Server.PowerCut] loses what was not synced.
	Disk Layer = "disk"
)

// Options say what kind of lab to make. The zero value is a lab of
// [DefaultServers] with [DefaultSuite].
type Options struct {
	Suite    string   // one of Suites; empty for DefaultSuite
	Servers  []string // names, each a host name of at most 32 letters; nil for DefaultServers
	Layer    Layer    // empty for Directory
	Password string   // root's password on all servers; empty for a random one
	// Ephemeral ties the lab to the calling process: when that is gone, Sweep
	// takes the lab down.
	Ephemeral bool
	// Progress is told in one line each what takes its time, from several
	// goroutines, one at a time. It may be nil.
	Progress func(string)
}

// A Lab is a set of servers with their networks. Its methods may be called from
// several goroutines.
type Lab struct {
	dir     string
	state   state
	servers []*Server
}

var namePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

func (o *Options) complete() error {
	if o.Suite == "" {
		o.Suite = DefaultSuite
	}
	if !slices.Contains(Suites, o.Suite) {
		return fmt.Errorf("suite %q is not one of %v", o.Suite, Suites)
	}
	if o.Layer == "" {
		o.Layer = Directory
	}
	if o.Layer != Directory && o.Layer != Disk {
		return fmt.Errorf("layer %q is neither %q nor %q", o.Layer, Directory, Disk)
	}
	if o.Servers == nil {
		o.Servers = DefaultServers
	}
	if len(o.Servers) > maxServers {
		return fmt.Errorf("%d servers are more than %d", len(o.Servers), maxServers)
	}
	for i, name := range o.Servers {
		if !namePattern.MatchString(name) {
			return fmt.Errorf("server name %q is not a short host name", name)
		}
		if slices.Contains(o.Servers[:i], name) {
			return fmt.Errorf("server name %q is there twice", name)
		}
	}
	if o.Password == "" {
		o.Password = rand.Text()
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	var mu sync.Mutex
	progress := o.Progress
	o.Progress = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		progress(line)
	}
	return nil
}

// Up makes the lab id, boots its servers side by side and returns when sshd
// answers on all of them. The image of the suite is built first if it is not in
// the cache. Up returns an error that is ErrUp if the lab exists, even half
// made: take it down first. If Up fails otherwise, nothing of the lab is left.
func Up(ctx context.Context, id string, o Options) (*Lab, error) {
	if !namePattern.MatchString(id) {
		return nil, fmt.Errorf("lab id %q is not a short host name", id)
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := Check(); err != nil {
		return nil, err
	}
	if err := makeRoom(); err != nil {
		return nil, err
	}
	l, unlock, err := create(ctx, id, o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := l.up(ctx, o.Progress); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, errors.Join(err, l.remove(ctx))
	}
	return l, nil
}

func (l *Lab) up(ctx context.Context, progress func(string)) error {
	// Every server's mount namespace begins as a copy of the machine's, so that
	// a file system that is unmounted must go from those copies, too.
	if err := os.Mkdir(l.mounts(), 0o700); err != nil {
		return err
	}
	if err := bindMount(l.mounts(), l.mounts()); err != nil {
		return err
	}
	if err := shareMount(l.mounts()); err != nil {
		return err
	}
	if err := startProxy(ctx); err != nil {
		return err
	}
	image, err := ensureImage(ctx, l.Suite(), progress)
	if err != nil {
		return err
	}
	l.state.Image = image
	if err := l.save(); err != nil {
		return err
	}
	if err := l.makeKey(); err != nil {
		return err
	}
	if err := l.network(ctx); err != nil {
		return err
	}
	err = each(l.servers, func(s *Server) error {
		begin := time.Now()
		if err := s.install(ctx); err != nil {
			return fmt.Errorf("server %s: %w", s.name, err)
		}
		if err := s.Boot(ctx); err != nil {
			return err
		}
		progress(fmt.Sprintf("%s is up on %s and %s after %.1f s", s.name, s.Addr4(), s.Addr6(), time.Since(begin).Seconds()))
		return nil
	})
	if err != nil {
		return err
	}
	if err := l.writeKnownHosts(); err != nil {
		return err
	}
	l.state.Complete = true
	return l.save()
}

// Open finds the lab id. It returns an error that is ErrDown if there is none.
// A lab that is still being made, or whose making was cut short, is found too:
// see [Status].
func Open(id string) (*Lab, error) {
	if !namePattern.MatchString(id) {
		return nil, fmt.Errorf("lab id %q is not a short host name", id)
	}
	return load(filepath.Join(stateDir, id))
}

// Down powers everything off hard and removes every process, mount, interface,
// namespace and file of the lab, whatever state it is in. It returns nil for a
// lab that is down already.
func (l *Lab) Down(ctx context.Context) error {
	unlock, err := lock(ctx, filepath.Join(l.dir, "lock"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lab %s: %w", l.ID(), err)
	}
	defer unlock()
	return l.remove(ctx)
}

// List returns the labs of this machine.
func List() ([]*Lab, error) {
	entries, err := os.ReadDir(stateDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("labs: %w", err)
	}
	var labs []*Lab
	for _, e := range entries {
		if !namePattern.MatchString(e.Name()) {
			continue
		}
		l, err := Open(e.Name())
		if errors.Is(err, ErrDown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		labs = append(labs, l)
	}
	return labs, nil
}

// Sweep takes down every ephemeral lab whose process is gone, and the package
// cache if that was the last one.
func Sweep(ctx context.Context) error {
	labs, err := List()
	if err != nil {
		return err
	}
	for _, l := range labs {
		if l.state.Ephemeral && !l.state.Owner.alive() {
			err = errors.Join(err, l.Down(ctx))
		}
	}
	if err != nil || len(labs) > 0 || !linkExists(proxyLink) {
		return err
	}
	release, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	defer release()
	return stopUnusedProxy(ctx)
}

// mounts is the directory of everything that the lab has mounted.
func (l *Lab) mounts() string { return filepath.Join(l.dir, "mounts") }

// ID is the name of the lab.
func (l *Lab) ID() string { return l.state.ID }

// Suite is the release of Debian that the servers run.
func (l *Lab) Suite() string { return l.state.Suite }

// Key is the path of the private key that opens root on every server. It has no
// passphrase.
func (l *Lab) Key() string { return filepath.Join(l.dir, "key") }

// KnownHosts is the path of a known_hosts file with the host keys of all
// servers, under their names and all their addresses.
func (l *Lab) KnownHosts() string { return filepath.Join(l.dir, "known_hosts") }

// Password is root's password on every server, when it was made.
func (l *Lab) Password() string { return l.state.Password }

// Servers are the servers of the lab, in the order in which they were named.
func (l *Lab) Servers() []*Server { return slices.Clone(l.servers) }

// Server finds a server by its name.
func (l *Lab) Server(name string) (*Server, error) {
	for _, s := range l.servers {
		if s.name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("lab %s has no server %q, only %v", l.ID(), name, l.state.Servers)
}

// A Status says what there is of a lab.
type Status struct {
	ID       string         `json:"id"`
	Suite    string         `json:"suite"`
	Complete bool           `json:"complete"` // Up has come to its end
	Servers  []ServerStatus `json:"servers"`
}

// A ServerStatus says what there is of a server.
type ServerStatus struct {
	Name     string `json:"name"`
	Public4  string `json:"public4"`
	Public6  string `json:"public6"`
	Private4 string `json:"private4"`
	Private6 string `json:"private6"`
	Running  bool   `json:"running"` // it has an init process
	SSH      string `json:"ssh"`     // sshd's banner, empty if there is none
}

// Status looks at the lab. It does not fail for a server that is not well.
func (l *Lab) Status(ctx context.Context) Status {
	st := Status{ID: l.ID(), Suite: l.Suite(), Complete: l.state.Complete, Servers: make([]ServerStatus, len(l.servers))}
	// The functions return no error.
	_ = each(l.servers, func(s *Server) error {
		ss := ServerStatus{
			Name:    s.name,
			Public4: s.Addr4().String(), Public6: s.Addr6().String(),
			Private4: s.Private4().String(), Private6: s.Private6().String(),
			Running: s.Running(),
		}
		if ss.Running {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			ss.SSH, _ = banner(ctx, s.Addr4())
		}
		st.Servers[s.index-1] = ss
		return nil
	})
	return st
}

// each calls f for all servers side by side and joins the errors.
func each(servers []*Server, f func(*Server) error) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			errs[i] = f(s)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
