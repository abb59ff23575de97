package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// ownPrefix begins the name of every drop-in of ours. Files that sort before it
// are read first.
const ownPrefix = "00-holdfast-"

// An sshDropIn is the file in which one control tells sshd what it wants.
type sshDropIn struct {
	file     string
	settings func(context.Context, server.Reader, server.Config) ([]setting, error)
	// before returns lines that stand before the block that always matches;
	// may be nil.
	before func(server.Config) (string, error)
}

// path is where the drop-in lies.
func (d sshDropIn) path() string { return sshd.DropIns + "/" + d.file }

// sshControl completes base with the resources and proofs of its drop-in. more
// returns further resources, may be nil.
func sshControl(base server.Control, d sshDropIn, more func(context.Context, server.Reader, server.Config) ([]server.Resource, error), proofs ...server.Proof) server.Control {
	base.Wants = func(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
		all, err := d.wants(ctx, r, c, base)
		if err != nil || more == nil {
			return all, err
		}
		others, err := more(ctx, r, c)
		return append(others, all...), err
	}
	base.Proofs = func(server.Config) []server.Proof {
		return append([]server.Proof{d.proof()}, proofs...)
	}
	return base
}

// wants returns what makes the drop-in count on the host that r shows: what
// stands before it out of the way, then the drop-in, then the daemon.
func (d sshDropIn) wants(ctx context.Context, r server.Reader, c server.Config, control server.Control) ([]server.Resource, error) {
	daemon, err := lookAwake(ctx, r, c)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, r); err != nil {
		return nil, err
	}
	if daemon.Config != "" {
		return nil, fmt.Errorf("sshd is started with another main file than %s: -f %s", sshd.MainFile, daemon.Config)
	}
	want, err := d.known(ctx, r, c)
	if err != nil {
		return nil, err
	}
	lines, err := configuration(ctx, r, map[string]string{d.path(): ""})
	if err != nil {
		return nil, err
	}
	want = adopt(want, lines)
	content, err := d.content(control, want, c)
	if err != nil {
		return nil, err
	}
	lines, err = configuration(ctx, r, map[string]string{d.path(): content})
	if err != nil {
		return nil, err
	}
	if l, ok := d.withinMatch(lines); ok {
		return nil, fmt.Errorf("%s: an Include in a Match block takes in %s, and sshd refuses settings for all in there", l, d.path())
	}
	all := []server.Resource{resource.Dir{Path: sshd.DropIns, Mode: 0o755}}
	cleared, err := d.clearFiles(ctx, r, lines, want)
	if err != nil {
		return nil, err
	}
	options, err := clearOptions(ctx, r, daemon, want)
	if err != nil {
		return nil, err
	}
	all = append(append(all, cleared...), options...)
	return append(all,
		resource.File{Path: d.path(), Mode: 0o644, Content: content, Test: draftTest(lines)},
		sshDaemon(daemon, lines),
	), nil
}

// configuration returns what sshd reads, with extra in place. A drop-in of ours
// that somebody has garbled counts as empty: it will be replaced.
func configuration(ctx context.Context, r server.Reader, extra map[string]string) ([]sshd.Line, error) {
	ours, err := r.Glob(ctx, sshd.DropIns+"/"+ownPrefix+"*.conf")
	if err != nil {
		return nil, err
	}
	extra = maps.Clone(extra)
	for _, name := range ours {
		if _, given := extra[name]; given {
			continue
		}
		_, e, err := sshd.ReadThrough(ctx, r, name)
		if err != nil {
			return nil, err
		}
		if _, err := sshd.ParseConfig(name, e.Content); err != nil {
			extra[name] = ""
		}
	}
	return sshd.Lines(ctx, r, extra)
}

// draftTest is the command that tests a file by itself. A host that names its
// host keys may have none in the places that sshd looks in without being told.
func draftTest(lines []sshd.Line) []string {
	test := []string{sshd.Binary, "-t"}
	for _, l := range lines {
		if l.Keyword == "hostkey" && len(l.Args) == 1 {
			test = append(test, "-h", l.Args[0])
			break
		}
	}
	return append(test, "-f")
}

// sshDaemon is the running daemon. It is reloaded, so that it outlives a
// mistake, with two exceptions: only a new process forgets what it was started
// with; and behind ssh.socket a reloaded sshd tries to listen by itself, cannot
// ("Cannot bind any address"), and dies.
func sshDaemon(d sshd.Daemon, lines []sshd.Line) resource.Daemon {
	stuck := slices.ContainsFunc(d.Running, func(o sshd.Override) bool {
		return slices.Contains(statedGlobally, o.Keyword)
	})
	config := []string{sshd.MainFile, sshd.DropIns + "/*.conf", sshd.DefaultsFile}
	for _, l := range lines {
		if l.Keyword != "include" {
			continue
		}
		for _, arg := range l.Args {
			if p := sshd.IncludePattern(arg); path.Dir(p) != sshd.DropIns && !slices.Contains(config, p) {
				config = append(config, p)
			}
		}
	}
	return resource.Daemon{Unit: sshd.Service, Config: config, Reload: !stuck && !d.SocketActive}
}

// known returns the settings of the drop-in whose keyword the installed sshd
// has.
func (d sshDropIn) known(ctx context.Context, r server.Reader, c server.Config) ([]setting, error) {
	has, err := sshd.Defaults(ctx, r)
	if err != nil {
		return nil, err
	}
	want, err := d.settings(ctx, r, c)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(want, func(s setting) bool { return !has.Knows(s.keyword()) }), nil
}

// content is the text of the drop-in.
func (d sshDropIn) content(control server.Control, want []setting, c server.Config) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Holdfast, control %s: %s.\n", control.ID, control.Title)
	b.WriteString("# sshd takes the first value that it reads.\n")
	for _, s := range want {
		fmt.Fprintf(&b, "%s %s\n", s.name, s.value)
	}
	if d.before != nil {
		before, err := d.before(c)
		if err != nil {
			return "", err
		}
		b.WriteString(before)
	}
	if slices.ContainsFunc(want, setting.restated) {
		b.WriteString("\n# The values of a Match block replace those above; this one comes before any other.\nMatch all\n")
	}
	for _, s := range want {
		if s.restated() {
			fmt.Fprintf(&b, "    %s %s\n", s.name, s.value)
		}
	}
	return b.String(), nil
}

// own reports whether a file is a drop-in of ours.
func own(file string) bool {
	return path.Dir(file) == sshd.DropIns && strings.HasPrefix(path.Base(file), ownPrefix)
}

// contradicts reports whether a line says something else than want.
func contradicts(want []setting, keyword, value string) bool {
	for _, s := range want {
		if s.keyword() == keyword {
			return !s.met(value)
		}
	}
	return false
}

// sameValue compares values; sshd prints the newer name of a root login by key
// as the older.
func sameValue(a, b string) bool {
	norm := func(v string) string {
		return strings.ReplaceAll(strings.ToLower(v), "prohibit-password", "without-password")
	}
	return norm(a) == norm(b)
}

// badFile finds the file that sshd complains of: "FILE: line 3: …" or
// "FILE line 3: …".
var badFile = regexp.MustCompile(`(?m)^(/\S+?):? line \d+:`)

// readable makes sure that sshd reads its configuration as it is now. What is
// wrong with a drop-in of ours does not count, because it will be replaced.
func readable(ctx context.Context, r server.Reader) error {
	_, err := r.Output(ctx, sshd.Binary, "-t")
	var failed *server.CommandError
	if !errors.As(err, &failed) || failed.Exit < 0 {
		return err
	}
	named := badFile.FindAllStringSubmatch(failed.Output, -1)
	foreign := len(named) == 0
	for _, m := range named {
		foreign = foreign || !own(m[1])
	}
	if foreign {
		return fmt.Errorf("sshd refuses its configuration as it is: %w", err)
	}
	return nil
}

// cloudInitDir is where cloud-init's own settings lie, if it is installed.
const cloudInitDir = "/etc/cloud/cloud.cfg.d"

// cloudInit keeps cloud-init from writing "PasswordAuthentication yes" again
// when it meets a new instance.
func cloudInit(ctx context.Context, r server.Reader, _ server.Config) ([]server.Resource, error) {
	_, err := r.Read(ctx, cloudInitDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for cloud-init: %w", err)
	}
	return []server.Resource{resource.File{
		Path: cloudInitDir + "/99-holdfast-ssh.cfg", Mode: 0o644,
		Content: "# Holdfast, control ssh-keys-only.\nssh_pwauth: false\n",
	}}, nil
}
