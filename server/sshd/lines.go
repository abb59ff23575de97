package sshd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// Places of the daemon's files on Debian and Ubuntu.
const (
	// MainFile is the configuration that sshd reads first.
	MainFile = "/etc/ssh/sshd_config"
	// DropIns is the directory that the distribution's MainFile includes.
	DropIns = "/etc/ssh/sshd_config.d"
)

// maxDepth is how deep sshd follows Include (SERVCONF_MAX_DEPTH).
const maxDepth = 16

// A Line is one directive of sshd's configuration files.
type Line struct {
	// File and Number say where it stands; Number counts from 1.
	File   string
	Number int
	// Keyword is in lower case and an old name is replaced by the one that
	// sshd -T prints.
	Keyword string
	// Args are the values with their quotes taken off.
	Args []string
	// Text is the line as it stands, without surrounding space.
	Text string
	// Matches are the Match blocks that the line stands in, outermost first;
	// empty if it is global. A Match line itself counts as standing in its own
	// block.
	Matches []Match
}

// String names the line for a person: "FILE:NUMBER: TEXT".
func (l Line) String() string { return fmt.Sprintf("%s:%d: %s", l.File, l.Number, l.Text) }

// Value returns the values as one text.
func (l Line) Value() string { return strings.Join(l.Args, " ") }

// oldNames are keywords that sshd still reads under another name (servconf.c).
var oldNames = map[string]string{
	"challengeresponseauthentication": "kbdinteractiveauthentication",
	"skeyauthentication":              "kbdinteractiveauthentication",
	"dsaauthentication":               "pubkeyauthentication",
	"pubkeyacceptedkeytypes":          "pubkeyacceptedalgorithms",
	"hostbasedacceptedkeytypes":       "hostbasedacceptedalgorithms",
	"keepalive":                       "tcpkeepalive",
	"hostdsakey":                      "hostkey",
}

// Canonical returns the name under which sshd -T prints a keyword.
func Canonical(keyword string) string {
	k := strings.ToLower(keyword)
	if name, ok := oldNames[k]; ok {
		return name
	}
	return k
}

// A SyntaxError is a line that sshd cannot read.
type SyntaxError struct {
	File   string
	Number int
	Reason string
}

// Error names the place.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Number, e.Reason) }

// ParseConfig reads the text of one configuration file. Include lines are
// returned as they stand. A line that sshd could not read is a [*SyntaxError].
func ParseConfig(file, content string) ([]Line, error) {
	var (
		lines []Line
		block []Match
	)
	number := 0
	for text := range strings.Lines(content) {
		number++
		text = strings.Trim(text, " \t\r\n\f")
		if text == "" || text[0] == '#' {
			continue
		}
		keyword, rest := cutKeyword(text)
		args, err := Split(rest)
		if err == nil && len(args) == 0 {
			err = errors.New("no value")
		}
		if err != nil {
			return nil, &SyntaxError{file, number, err.Error()}
		}
		l := Line{File: file, Number: number, Keyword: Canonical(keyword), Args: args, Text: text}
		if l.Keyword == "match" {
			m, err := parseMatch(args)
			if err != nil {
				return nil, &SyntaxError{file, number, err.Error()}
			}
			block = []Match{m}
		}
		l.Matches = block
		lines = append(lines, l)
	}
	return lines, nil
}

// cutKeyword parts a line at the first space or equals sign, as sshd does.
func cutKeyword(text string) (keyword, rest string) {
	i := strings.IndexAny(text, " \t=")
	if i < 0 {
		return strings.Trim(text, `"`), ""
	}
	rest = strings.TrimLeft(text[i:], " \t")
	if strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], " \t")
	}
	return strings.Trim(text[:i], `"`), rest
}

// Split parts text into words at space, minding quotes and backslashes, and
// ends at a word that begins with '#'.
func Split(text string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quote  byte
	)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && strings.IndexByte(`'"\ `, text[i+1]) >= 0:
			i++
			word.WriteByte(text[i])
			inWord = true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteByte(c)
			}
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case c == '#' && !inWord:
			return words, nil
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// Lines returns all directives that sshd reads on the host that r shows, in the
// order in which it reads them: an Include is followed by what it includes.
// extra are files, by path, that are taken to be there with this content.
func Lines(ctx context.Context, r server.Reader, extra map[string]string) ([]Line, error) {
	c := collector{ctx: ctx, r: r, extra: extra}
	err := c.file(MainFile, nil, 0)
	return c.lines, err
}

type collector struct {
	ctx   context.Context
	r     server.Reader
	extra map[string]string
	lines []Line
}

func (c *collector) file(name string, within []Match, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: included more than %d deep", name, maxDepth)
	}
	content, ok := c.extra[name]
	if !ok {
		_, e, err := ReadThrough(c.ctx, c.r, name)
		if errors.Is(err, fs.ErrNotExist) && depth > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading sshd's configuration: %w", err)
		}
		if e.Mode.IsDir() {
			return nil
		}
		content = e.Content
	}
	lines, err := ParseConfig(name, content)
	if err != nil {
		return err
	}
	for _, l := range lines {
		l.Matches = slices.Concat(within, l.Matches)
		c.lines = append(c.lines, l)
		if l.Keyword != "include" {
			continue
		}
		for _, pattern := range l.Args {
			names, err := c.glob(pattern)
			if err != nil {
				return fmt.Errorf("%s: %w", l, err)
			}
			for _, n := range names {
				if err := c.file(n, l.Matches, depth+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// IncludePattern returns an argument of Include as an absolute pattern in the
// syntax of path/filepath.Match.
func IncludePattern(arg string) string {
	if !path.IsAbs(arg) {
		arg = path.Join("/etc/ssh", arg)
	}
	return strings.ReplaceAll(arg, "[!", "[^")
}

// glob returns what sshd would include for pattern, in its order.
func (c *collector) glob(pattern string) ([]string, error) {
	pattern = IncludePattern(pattern)
	names, err := c.r.Glob(c.ctx, pattern)
	if err != nil {
		return nil, err
	}
	for name := range c.extra {
		if ok, _ := filepath.Match(pattern, name); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	// Unlike filepath.Match, glob(3) does not let a star match a leading dot.
	hidden := strings.HasPrefix(path.Base(pattern), ".")
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return !hidden && strings.HasPrefix(path.Base(n), ".")
	})
	slices.Sort(names)
	return names, nil
}

// maxLinks is how many symbolic links the kernel follows in one path.
const maxLinks = 40

// ReadThrough reads the file at name, following symbolic links in its last
// part, and returns the path where it was found.
func ReadThrough(ctx context.Context, r server.Reader, name string) (string, server.Entry, error) {
	for range maxLinks {
		e, err := r.Read(ctx, name)
		if err != nil || e.Mode&fs.ModeSymlink == 0 {
			return name, e, err
		}
		target := e.Content
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = path.Clean(target)
	}
	return name, server.Entry{}, fmt.Errorf("%s: too many symbolic links", name)
}
