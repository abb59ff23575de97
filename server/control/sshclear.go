package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// blocking returns the lines that sshd reads before the drop-in and that say
// something else, and whether it reads the drop-in for every connection.
func (d sshDropIn) blocking(lines []sshd.Line, want []setting) (before []sshd.Line, included bool) {
	for _, l := range lines {
		if l.File == d.path() && outerBlocks(l) == 0 {
			return before, true
		}
		if !own(l.File) && contradicts(want, l.Keyword, l.Value()) {
			before = append(before, l)
		}
	}
	return before, false
}

// outerBlocks is how many Match blocks a line stands in, not counting one that it
// opens itself.
func outerBlocks(l sshd.Line) int {
	if l.Keyword == "match" {
		return len(l.Matches) - 1
	}
	return len(l.Matches)
}

// unbearable returns the foreign lines that the drop-in cannot beat, wherever
// they stand: limits that a Match block loosens; and "any" in a list that has
// something else in it, which sshd refuses even in blocks that do not match.
func unbearable(lines []sshd.Line, want []setting) []sshd.Line {
	const list = "authenticationmethods"
	limit := func(l sshd.Line) bool {
		return slices.ContainsFunc(want, func(s setting) bool { return s.strict != nil && s.keyword() == l.Keyword })
	}
	var all []sshd.Line
	for _, l := range lines {
		if own(l.File) || !contradicts(want, l.Keyword, l.Value()) {
			continue
		}
		if l.Keyword == list && slices.Contains(l.Args, "any") || len(l.Matches) > 0 && limit(l) {
			all = append(all, l)
		}
	}
	return all
}

// withinMatch returns the Include by which sshd would read the drop-in under a
// condition. Global settings are errors there.
func (d sshDropIn) withinMatch(lines []sshd.Line) (include sshd.Line, found bool) {
	head := 0 // its first line, which stands in no block of its own
	for _, l := range lines {
		if l.Keyword == "include" && len(l.Matches) > 0 {
			include = l
		}
		if l.File == d.path() && (head == 0 || l.Number == head) {
			head = l.Number
			if outerBlocks(l) > 0 {
				return include, true
			}
		}
	}
	return sshd.Line{}, false
}

// clearFiles returns what makes sshd read the drop-in before anything that says
// otherwise: our own Include on top of the main file if something in it comes
// first, otherwise the foreign lines commented out.
func (d sshDropIn) clearFiles(ctx context.Context, r server.Reader, lines []sshd.Line, want []setting) ([]server.Resource, error) {
	before, included := d.blocking(lines, want)
	inMain := slices.ContainsFunc(before, func(l sshd.Line) bool { return l.File == sshd.MainFile })
	top := !included || inMain
	out := unbearable(lines, want)
	if !top {
		out = append(out, before...)
	}
	var files []string
	if top {
		files = append(files, sshd.MainFile)
	}
	byFile := map[string][]int{}
	for _, l := range out {
		if !slices.Contains(files, l.File) {
			files = append(files, l.File)
		}
		if !slices.Contains(byFile[l.File], l.Number) {
			byFile[l.File] = append(byFile[l.File], l.Number)
		}
	}
	var all []server.Resource
	for _, name := range files {
		f, err := edit(ctx, r, name, func(content string) (string, error) {
			content = commentOut(content, byFile[name])
			if top && name == sshd.MainFile {
				content = includeLine + content
			}
			return content, nil
		})
		if err != nil {
			return nil, err
		}
		if name == sshd.MainFile {
			f.Test = draftTest(lines)
		}
		all = append(all, f)
	}
	return all, nil
}

// includeLine names our files alone: another Include of the whole directory
// could bring foreign files to life that were dormant.
const includeLine = "# Holdfast: read first, because sshd takes the first value.\nInclude " + sshd.DropIns + "/" + ownPrefix + "*.conf\n"

// mark begins a foreign line that was put out of force.
const mark = "# holdfast: "

func commentOut(content string, numbers []int) string {
	lines := strings.Split(content, "\n")
	for _, n := range numbers {
		if n <= len(lines) {
			lines[n-1] = mark + lines[n-1]
		}
	}
	return strings.Join(lines, "\n")
}

// edit returns the file at name with its content changed and everything else as
// it is.
func edit(ctx context.Context, r server.Reader, name string, change func(string) (string, error)) (resource.File, error) {
	name, e, err := sshd.ReadThrough(ctx, r, name)
	if err != nil {
		return resource.File{}, err
	}
	if len(e.Xattrs) > 0 {
		return resource.File{}, fmt.Errorf("%s has extended attributes and has to be changed by hand", name)
	}
	content, err := change(e.Content)
	if err != nil {
		return resource.File{}, err
	}
	return resource.File{Path: name, Mode: e.Mode, Owner: e.Owner, Group: e.Group, Content: content}, nil
}

// clearOptions takes what contradicts want off the daemon's command line.
func clearOptions(ctx context.Context, r server.Reader, d sshd.Daemon, want []setting) ([]server.Resource, error) {
	var bad []sshd.Override
	for _, o := range d.Next {
		if contradicts(want, o.Keyword, o.Value) {
			bad = append(bad, o)
		}
	}
	if bad == nil {
		return nil, nil
	}
	f, err := edit(ctx, r, sshd.DefaultsFile, func(content string) (string, error) {
		return sshd.WithoutOverrides(content, func(o sshd.Override) bool {
			return contradicts(want, o.Keyword, o.Value)
		})
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, o := range bad {
		if !strings.HasPrefix(o.Source, sshd.DefaultsFile) {
			return nil, fmt.Errorf("the command line of sshd comes before every file and says otherwise: %s", o)
		}
	}
	return []server.Resource{f}, nil
}
