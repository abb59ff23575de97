package sshd

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// Binary is where Debian and Ubuntu keep sshd.
const Binary = "/usr/sbin/sshd"

// Settings are what sshd comes to after every Include, Match and default, as
// sshd -T prints them: keyword in lower case to its values, one for each line.
type Settings map[string][]string

// Get returns the value of a keyword that has one; empty if sshd does not know
// it.
func (s Settings) Get(keyword string) string {
	if v := s[strings.ToLower(keyword)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Words returns all values of a keyword, parted at space.
func (s Settings) Words(keyword string) []string {
	var all []string
	for _, v := range s[strings.ToLower(keyword)] {
		all = append(all, strings.Fields(v)...)
	}
	return all
}

// List returns the values of a keyword that is a comma-separated list.
func (s Settings) List(keyword string) []string {
	v := s.Get(keyword)
	if v == "" {
		return nil
	}
	return strings.Split(v, ",")
}

// Knows reports whether this sshd has the keyword.
func (s Settings) Knows(keyword string) bool { return len(s[strings.ToLower(keyword)]) > 0 }

// ParseSettings reads what sshd -T prints.
func ParseSettings(text string) Settings {
	s := Settings{}
	for line := range strings.Lines(text) {
		k, v, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if k != "" {
			s[k] = append(s[k], v)
		}
	}
	return s
}

// Effective asks the installed sshd what its files on the host that r shows
// come to. options are put on its command line ([Daemon.Options]); spec is the
// connection to ask about, nil for what holds before there is one. A
// configuration that sshd refuses is an error that carries sshd's words.
func Effective(ctx context.Context, r server.Reader, options []string, spec *Spec) (Settings, error) {
	out, err := r.Output(ctx, Ask(options, spec)...)
	if err != nil {
		return nil, err
	}
	return ParseSettings(out), nil
}

// Ask returns the command that [Effective] runs.
func Ask(options []string, spec *Spec) []string {
	argv := append([]string{Binary, "-T"}, options...)
	if spec != nil {
		argv = append(argv, "-C", spec.String())
	}
	return argv
}

// Defaults are what the installed sshd comes to without any file: which keywords
// it has, and which algorithms it thinks fit.
func Defaults(ctx context.Context, r server.Reader) (Settings, error) {
	s, err := Effective(ctx, r, []string{"-f", "/dev/null"}, nil)
	if err != nil {
		return nil, fmt.Errorf("asking sshd for its defaults: %w", err)
	}
	return s, nil
}
