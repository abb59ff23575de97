package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// Sizes of a full run and of the part that belongs to every run of the tests.
const (
	fullTime    = 36 * time.Minute // so that with boots and builds it stays within 40
	quarterTime = 9 * time.Minute
	perSuite    = 2 // servers, the second with ssh.socket
)

// otherDaemon is where the daemon of another version lies on the servers.
const otherDaemon = "/usr/local/lib/holdfast/other/holdfastd"

// window is how long the servers of these tests wait for the proof.
const window = 12 * time.Second

// TestChaos is the matrix.
func TestChaos(t *testing.T) {
	if os.Getenv("HOLDFAST_CHAOS") == "" {
		t.Skip("`make chaos` runs it")
	}
	labtest.Require(t)
	program, err := filepath.Abs("../../../bin/holdfast")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
			t.Fatalf("HOLDFAST_MUST_RUN=1, but: %v; `make build` makes it", err)
		}
		t.Skipf("%v; `make build` makes it", err)
	}
	other := filepath.Join(t.TempDir(), "holdfastd")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version=another", "-o", other, "../../../cmd/holdfastd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	full := os.Getenv("HOLDFAST_CHAOS") == "full"
	servers, limit := 1, quarterTime
	if full {
		servers, limit = perSuite, fullTime
	}
	began := time.Now()
	ctx, stop := context.WithDeadline(t.Context(), began.Add(limit))
	defer stop()
	tab := newTable()
	var wg sync.WaitGroup
	for n, suite := range lab.Suites {
		q := newQueue(faults(), n, full)
		var names []string
		for i := range servers {
			names = append(names, fmt.Sprintf("app-%d", i+1))
		}
		l := labtest.Lab(t, lab.Options{Suite: suite, Servers: names, Layer: lab.Disk})
		for _, s := range l.Servers() {
			wg.Go(func() { work(ctx, t, tab, q, s, program, other) })
		}
	}
	wg.Wait()
	t.Logf("%s on %d servers in %s\n%s", map[bool]string{true: "all of it", false: "a quarter"}[full],
		servers*len(lab.Suites), time.Since(began).Round(time.Second), tab)
	if least := map[bool]int{true: 300, false: 30}[full]; tab.faults < least && only.String() == "" {
		t.Errorf("%d faults were injected, there have to be %d", tab.faults, least)
	}
}

// only matches the cases to be run, such as "power cut at step"; empty for all.
var only = regexp.MustCompile(os.Getenv("HOLDFAST_CHAOS_ONLY"))

// work injects one fault after the other into a server.
func work(ctx context.Context, t *testing.T, tab *table, q *queue, s *lab.Server, program, other string) {
	sub, err := prepare(ctx, t.TempDir(), s, program, other)
	if err != nil {
		if ctx.Err() == nil {
			t.Errorf("%s: %v", s.Name(), err)
		}
		return
	}
	tab.add("between packages and changes", "desk killed", outcome{})
	secured := false
	for ctx.Err() == nil {
		op := map[bool]string{false: "apply", true: "undo"}[secured]
		f, at, ok := q.next(op)
		if !ok {
			return
		}
		c := &cycle{subject: sub, fault: f, at: at, op: op, secured: secured, patience: window}
		o := c.inject(ctx)
		if ctx.Err() != nil {
			return // time is over, and the servers are taken down
		}
		tab.add(at, f.kind, o)
		name := fmt.Sprintf("%s %s: %s of %s at %s", s.Lab().Suite(), s.Name(), f.kind, op, at)
		if len(o.problems) == 0 {
			t.Logf("%s: %s, desk %s, %s", name, o.state, o.desk, o.took.Round(100*time.Millisecond))
			secured = o.secured
			continue
		}
		t.Errorf("%s: %s, desk %s\n  %s\n%s", name, o.state, o.desk, strings.Join(o.problems, "\n  "), c.story(ctx))
		if err := s.Reset(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if sub, err = prepare(ctx, t.TempDir(), s, program, other); err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		secured = false
	}
}

// prepare makes a desk for the server, takes the trees of its states, and leaves
// it with packages: the desk is killed between the two transactions of its first
// run.
func prepare(ctx context.Context, dir string, s *lab.Server, program, other string) (*subject, error) {
	sub := &subject{s: s, program: program, dir: filepath.Join(dir, "desk"), home: dir}
	out, err := exec.CommandContext(ctx, program, "lab", "site", "--lab", s.Lab().ID(), sub.dir).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("making a desk: %w: %s", err, out)
	}
	if err := sub.alone(); err != nil {
		return nil, err
	}
	if sub.words, err = adminPassword(sub.dir); err != nil {
		return nil, err
	}
	if s.Name() != "app-1" {
		if err := sub.sh(ctx, "systemctl disable --now ssh.service && systemctl enable --now ssh.socket"); err != nil {
			return nil, err
		}
	}
	stock, err := sub.tree(ctx)
	if err != nil {
		return nil, err
	}
	c := &cycle{subject: sub, fault: fault{kind: "desk killed", do: killDeskAndRollBack}, at: prepared, op: "apply", patience: 3 * time.Minute}
	o := c.inject(ctx)
	if len(o.problems) > 0 {
		return nil, fmt.Errorf("the first run: %s\n%s", strings.Join(o.problems, "; "), c.story(ctx))
	}
	if len(stock.Diff(sub.base)) == 0 {
		return nil, errors.New("no package was installed: the first run was killed too early")
	}
	if err := sub.must(ctx, "apply"); err != nil {
		return nil, err
	}
	if sub.new, err = sub.tree(ctx); err != nil {
		return nil, err
	}
	if sub.shadow, err = sub.masked(); err != nil {
		return nil, err
	}
	if err := sub.must(ctx, "undo", s.Name()); err != nil {
		return nil, err
	}
	lines, err := sub.differs(ctx, false, nil)
	if err != nil || len(lines) > 0 {
		return nil, fmt.Errorf("undo of a run without faults: %w: %s", err, lines)
	}
	content, err := os.ReadFile(other)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.Root(), otherDaemon)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return sub, os.WriteFile(path, content, 0o755)
}

// alone leaves only this server in the site file.
func (s *subject) alone() error {
	path := filepath.Join(s.dir, "holdfast.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(data), "servers:\n")
	if !ok {
		return errors.New("the site file names no servers")
	}
	servers, tail, _ := strings.Cut(rest, "\nsecrets:")
	for one := range strings.SplitSeq(servers, "  - ") {
		if strings.HasPrefix(one, "name: "+s.s.Name()+"\n") {
			return os.WriteFile(path, []byte(head+"servers:\n  - "+one+"\nsecrets:"+tail), 0o644)
		}
	}
	return fmt.Errorf("the site file does not name %s", s.s.Name())
}
