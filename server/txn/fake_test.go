package txn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// fault is how a write fails.
type fault int

const (
	refused  fault = iota // it did not happen
	unheard               // it happened, the answer was lost
	cutOff                // it did not happen, and nothing does from then on
	cutAfter              // it happened, and nothing does from then on
)

func (f fault) String() string { return [...]string{"refused", "unheard", "cut-off", "cut-after"}[f] }

var errFault = errors.New("fault of the test")

// A fuse counts everything that changes anything, on the host, on the journal's
// disk and at the guard, and lets one of them fail.
type fuse struct {
	mu   sync.Mutex
	n    int // writes so far
	at   int // the one that fails; 0 for none
	kind fault
	dead bool
	hit  string
	ctx  context.Context // ends when nothing happens any more
	die  func()
}

// reset makes everything work again, until the write at fails.
func (f *fuse) reset(at int, kind fault) context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.at, f.kind, f.dead, f.hit = 0, at, kind, false, ""
	f.ctx, f.die = context.WithCancel(context.Background())
	return f.ctx
}

func (f *fuse) life() context.Context {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ctx
}

func (f *fuse) do(what string, write func() error) error {
	f.mu.Lock()
	if f.dead {
		f.mu.Unlock()
		return errFault
	}
	f.n++
	hit := f.n == f.at
	if hit {
		f.hit = what
		if f.kind == cutOff {
			f.dead = true
		}
	}
	if !hit {
		defer f.mu.Unlock()
		return write()
	}
	var err error
	if f.kind == unheard || f.kind == cutAfter {
		err = write()
	}
	f.dead = f.kind == cutOff || f.kind == cutAfter
	dead, die := f.dead, f.die
	f.mu.Unlock()
	if dead && die != nil {
		die()
	}
	return errors.Join(errFault, err)
}

// memory is a host in memory. It knows the few commands that the resources of
// these tests use.
type memory struct {
	mu     sync.Mutex
	files  map[string]server.Entry
	loaded string // what the running daemon has read
	fuse   *fuse
}

func dir(mode fs.FileMode) server.Entry {
	return server.Entry{Mode: fs.ModeDir | mode, Owner: "root", Group: "root"}
}

func file(content string) server.Entry {
	return server.Entry{Mode: 0o644, Owner: "root", Group: "root", Content: content}
}

func newMemory() *memory {
	m := &memory{fuse: &fuse{}, files: map[string]server.Entry{
		"/": dir(0o755), "/etc": dir(0o755), "/etc/ssh": dir(0o755), "/etc/ssh/sshd_config.d": dir(0o755),
		"/etc/pam.d": dir(0o755), "/home": dir(0o755), "/usr": dir(0o755), "/var": dir(0o755), "/var/lib": dir(0o755),
		"/etc/ssh/sshd_config":        file("Include sshd_config.d\n"),
		"/etc/ssh/sshd_config.d/50-a": file("PasswordAuthentication yes\n"),
		"/etc/pam.d/common-password":  file("pam_unix.so \xff\n"),
		"/etc/passwd":                 file("root:x:0\n"),
		"/etc/passwd-":                file("root:x:0:old\n"),
		"/etc/motd":                   {Mode: 0o640, Owner: "root", Group: "adm", Content: "hello\n", Xattrs: map[string]string{"user.a": "\xfe"}},
		"/etc/localtime":              {Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: "/usr/zone"},
	}}
	m.loaded = m.config()
	return m
}

func (m *memory) config() string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(m.files)) {
		if strings.HasPrefix(p, "/etc/ssh/") {
			b.WriteString(m.files[p].Content)
		}
	}
	return b.String()
}

// String is what the machine is like; what lies below /dev, where the journals of
// tests are, is not part of it.
func (m *memory) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(m.files)) {
		if e := m.files[p]; p != "/dev" && !strings.HasPrefix(p, "/dev/") {
			fmt.Fprintf(&b, "%s %v %s:%s %q %q\n", p, e.Mode, e.Owner, e.Group, e.Content, e.Xattrs)
		}
	}
	fmt.Fprintf(&b, "loaded %q\n", m.loaded)
	return b.String()
}

func (m *memory) set(p, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[p] = file(content)
}

func (m *memory) Read(_ context.Context, p string) (server.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.files[p]
	if !ok {
		return server.Entry{}, &fs.PathError{Op: "read", Path: p, Err: fs.ErrNotExist}
	}
	return e, nil
}

func (m *memory) Glob(_ context.Context, pattern string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for p := range m.files {
		if ok, err := path.Match(pattern, p); err != nil {
			return nil, err
		} else if ok {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	return all, nil
}

func (m *memory) Output(_ context.Context, argv ...string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if argv[0] == "loaded" {
		return m.loaded, nil
	}
	return "", &server.CommandError{Argv: argv, Exit: 127}
}

func (m *memory) Write(_ context.Context, p string, e server.Entry) error {
	return m.fuse.do("write "+p, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if parent, ok := m.files[path.Dir(p)]; !ok || !parent.Mode.IsDir() {
			return &fs.PathError{Op: "write", Path: p, Err: fs.ErrNotExist}
		}
		m.files[p] = e
		return nil
	})
}

func (m *memory) Remove(_ context.Context, p string) error {
	return m.fuse.do("remove "+p, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		for other := range m.files {
			if strings.HasPrefix(other, p+"/") {
				return fmt.Errorf("remove %s: directory not empty", p)
			}
		}
		delete(m.files, p)
		return nil
	})
}

func (m *memory) Run(_ context.Context, _ string, argv ...string) error {
	return m.fuse.do(strings.Join(argv, " "), func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		edit := func(p, content string) {
			e := m.files[p]
			e.Content = content
			m.files[p] = e
		}
		switch passwd := m.files["/etc/passwd"].Content; argv[0] {
		case "systemctl", "/usr/sbin/sshd":
		case "reload":
			m.loaded = m.config()
		case "useradd":
			edit("/etc/passwd-", passwd)
			edit("/etc/passwd", passwd+argv[1]+":x:1000\n")
			m.files["/etc/.pwd.lock"] = file("")
		case "userdel":
			edit("/etc/passwd-", passwd)
			edit("/etc/passwd", strings.Replace(passwd, argv[1]+":x:1000\n", "", 1))
		case "install":
			m.files["/usr/"+argv[1]] = file("program")
			edit("/etc/pam.d/common-password", m.files["/etc/pam.d/common-password"].Content+"pam_"+argv[1]+".so\n")
		case "purge": // leaves its line behind, as packages do
			delete(m.files, "/usr/"+argv[1])
		default:
			return &server.CommandError{Argv: argv, Exit: 127}
		}
		return nil
	})
}

// The resources of these tests.
type (
	fileRes    struct{ Path, Content string }
	accountRes struct{ Account string }
	secretRes  struct {
		Path   string
		Secret server.Secret `json:"-"`
	}
	daemonRes  struct{ Config string }
	packageRes struct{ Package string }
)

func (r fileRes) Name() string       { return "file " + r.Path }
func (r fileRes) Want() server.State { return server.State(r.Content) }
func (r fileRes) Get(ctx context.Context, h server.Reader) (server.State, error) {
	e, err := h.Read(ctx, r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return server.State(e.Content), err
}

func (r fileRes) Set(ctx context.Context, h server.Host, s server.State) error {
	if s == "" {
		return h.Remove(ctx, r.Path)
	}
	draft := r.Path + ".draft"
	if err := h.Write(ctx, draft, file(string(s))); err != nil {
		return err
	}
	if err := h.Remove(ctx, draft); err != nil {
		return err
	}
	return h.Write(ctx, r.Path, file(string(s)))
}

func (r accountRes) Name() string       { return "account " + r.Account }
func (r accountRes) Want() server.State { return "there" }
func (r accountRes) Get(ctx context.Context, h server.Reader) (server.State, error) {
	e, err := h.Read(ctx, "/etc/passwd")
	if err != nil || !strings.Contains(e.Content, r.Account+":x:1000\n") {
		return "", err
	}
	return "there", nil
}

func (r accountRes) Set(ctx context.Context, h server.Host, s server.State) error {
	if now, err := r.Get(ctx, h); err != nil || now == s {
		return err
	}
	if s == "" {
		return h.Run(ctx, "", "userdel", r.Account)
	}
	return h.Run(ctx, "", "useradd", r.Account)
}

func (r secretRes) Name() string                { return "secret " + r.Path }
func (r secretRes) Want() server.State          { return "set" }
func (r secretRes) Accepts(s server.State) bool { return strings.HasPrefix(string(s), "set") }
func (r secretRes) Get(ctx context.Context, h server.Reader) (server.State, error) {
	s, err := fileRes{Path: r.Path}.Get(ctx, h)
	if s != "" {
		s = server.State(fmt.Sprintf("set %d", len(s)))
	}
	return s, err
}

func (r secretRes) Set(ctx context.Context, h server.Host, s server.State) error {
	if s == "" {
		return h.Remove(ctx, r.Path)
	}
	if r.Secret.IsZero() {
		return &server.NeedsSecretError{Secret: r.Path}
	}
	return h.Write(ctx, r.Path, file(r.Secret.Reveal()))
}

func (r daemonRes) Name() string       { return "daemon" }
func (r daemonRes) Want() server.State { return server.State(r.Config) }
func (r daemonRes) Get(ctx context.Context, h server.Reader) (server.State, error) {
	s, err := h.Output(ctx, "loaded")
	return server.State(s), err
}

func (r daemonRes) Set(ctx context.Context, h server.Host, _ server.State) error {
	return h.Run(ctx, "", "reload")
}

func (r daemonRes) Follow(ctx context.Context, h server.Reader) (server.Follower, error) {
	var b strings.Builder
	for _, pattern := range []string{"/etc/ssh/*", "/etc/ssh/*/*"} {
		paths, err := h.Glob(ctx, pattern)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			e, err := h.Read(ctx, p)
			if err != nil {
				return nil, err
			}
			b.WriteString(e.Content)
		}
	}
	return daemonRes{Config: b.String()}, nil
}

func (r packageRes) Name() string       { return "package " + r.Package }
func (r packageRes) Want() server.State { return "installed" }
func (r packageRes) Install()           {}
func (r packageRes) Get(ctx context.Context, h server.Reader) (server.State, error) {
	s, err := fileRes{Path: "/usr/" + r.Package}.Get(ctx, h)
	if s != "" {
		s = "installed"
	}
	return s, err
}

func (r packageRes) Set(ctx context.Context, h server.Host, s server.State) error {
	if now, err := r.Get(ctx, h); err != nil || now == s {
		return err
	}
	if s == "" {
		return h.Run(ctx, "", "purge", r.Package)
	}
	return h.Run(ctx, "", "install", r.Package)
}

type codec struct{}

type coded struct {
	Kind string
	Data json.RawMessage
}

func (codec) Encode(r server.Resource) (json.RawMessage, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(coded{Kind: fmt.Sprintf("%T", r), Data: data})
}

func (codec) Decode(data json.RawMessage, secrets map[string]server.Secret) (server.Resource, error) {
	var c coded
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	switch c.Kind {
	case "txn_test.fileRes":
		return as[fileRes](c.Data)
	case "txn_test.accountRes":
		return as[accountRes](c.Data)
	case "txn_test.daemonRes":
		return as[daemonRes](c.Data)
	case "txn_test.packageRes":
		return as[packageRes](c.Data)
	case "txn_test.secretRes":
		var r secretRes
		err := json.Unmarshal(c.Data, &r)
		r.Secret = secrets[r.Path]
		return r, err
	}
	return nil, fmt.Errorf("unknown kind %q", c.Kind)
}

func as[R server.Resource](data json.RawMessage) (server.Resource, error) {
	var r R
	err := json.Unmarshal(data, &r)
	return r, err
}

// guard is the guard of these tests: the test itself lets the timer fire and
// the machine start again.
type guard struct {
	mu    sync.Mutex
	fuse  *fuse
	armed map[string]time.Duration
	stop  map[string]func()
	// run is the detached run, and failed what follows if it ends with an error
	// that is not the end of everything, like OnFailure= of a unit.
	run    func(ctx context.Context, id string) error
	failed func(id string)
}

func newGuard(f *fuse) *guard {
	return &guard{fuse: f, armed: map[string]time.Duration{}, stop: map[string]func(){}}
}

func (g *guard) Arm(_ context.Context, id string, window time.Duration) error {
	return g.fuse.do("arm", func() error {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.armed[id] = window
		return nil
	})
}

func (g *guard) Start(_ context.Context, id string) error {
	return g.fuse.do("start", func() error {
		ctx, cancel := context.WithCancel(context.Background())
		gone := make(chan struct{})
		g.mu.Lock()
		g.stop[id] = func() { cancel(); <-gone }
		run, failed := g.run, g.failed
		g.mu.Unlock()
		go func() {
			err := run(ctx, id)
			close(gone)
			if err != nil && ctx.Err() == nil {
				failed(id)
			}
		}()
		return nil
	})
}

func (g *guard) Stop(_ context.Context, id string) error {
	g.mu.Lock()
	stop := g.stop[id]
	g.mu.Unlock()
	if stop != nil {
		stop()
	}
	return nil
}

// kill ends all runs as if their processes had died.
func (g *guard) kill() {
	g.mu.Lock()
	stops := slices.Collect(maps.Values(g.stop))
	clear(g.stop)
	g.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

func (g *guard) Disarm(_ context.Context, id string) error {
	return g.fuse.do("disarm", func() error {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.armed, id)
		return nil
	})
}
