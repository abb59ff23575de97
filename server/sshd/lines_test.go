package sshd_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// files is a Reader of nothing but files.
type files map[string]string

func (f files) Output(context.Context, ...string) (string, error) {
	return "", errors.New("files run no commands")
}

func (f files) Read(_ context.Context, name string) (server.Entry, error) {
	content, ok := f[name]
	if !ok {
		return server.Entry{}, fs.ErrNotExist
	}
	if target, ok := strings.CutPrefix(content, "-> "); ok {
		return server.Entry{Mode: fs.ModeSymlink, Content: target}, nil
	}
	return server.Entry{Content: content}, nil
}

func (f files) Glob(_ context.Context, pattern string) ([]string, error) {
	var names []string
	for name := range f {
		if ok, err := filepath.Match(pattern, name); err != nil {
			return nil, err
		} else if ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func TestLines(t *testing.T) {
	tests := []struct {
		name  string
		files files
		want  string // one line each: FILE:NUMBER keyword value [Match …]
		err   string
	}{
		{
			name:  "comments, quotes, equals signs and old names",
			files: files{sshd.MainFile: "# no\n\n  Port=22\nBanner = \"/etc/my banner\" # yes\nChallengeResponseAuthentication\tno\r\n"},
			want:  "sshd_config:3 port 22\nsshd_config:4 banner /etc/my banner\nsshd_config:5 kbdinteractiveauthentication no\n",
		},
		{
			name: "includes in the order of their names, without hidden files",
			files: files{
				sshd.MainFile:                                 "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n",
				"/etc/ssh/sshd_config.d/50-b.conf":            "Port 2\n",
				"/etc/ssh/sshd_config.d/00-a.conf":            "Port 1\n",
				"/etc/ssh/sshd_config.d/.00-a.conf.draft":     "Port 3\n",
				"/etc/ssh/sshd_config.d/.hidden.conf":         "Port 4\n",
				"/etc/ssh/sshd_config.d/60-c.conf.dpkg-old":   "Port 5\n",
				"/etc/ssh/sshd_config.d/deeper/00-never.conf": "Port 6\n",
			},
			want: "00-a.conf:1 port 1\n50-b.conf:1 port 2\nsshd_config:2 usepam yes\n",
		},
		{
			name: "a Match block ends with its file and holds what it includes",
			files: files{
				sshd.MainFile:                    "Match User bob\n Include sshd_config.d/*.conf\nX11Forwarding no\nMatch all\nPermitTTY no\n",
				"/etc/ssh/sshd_config.d/a.conf":  "Port 1\nMatch Group wheel Address 10.0.0.0/8\nBanner none\n",
				"/etc/ssh/sshd_config.d/b.conf":  "Port 2\n",
				"/etc/ssh/sshd_config.d/c.confx": "Port 3\n",
			},
			want: `sshd_config:1 match User bob [Match user bob]
a.conf:1 port 1 [Match user bob]
a.conf:2 match Group wheel Address 10.0.0.0/8 [Match user bob] [Match group wheel address 10.0.0.0/8]
a.conf:3 banner none [Match user bob] [Match group wheel address 10.0.0.0/8]
b.conf:1 port 2 [Match user bob]
sshd_config:3 x11forwarding no [Match user bob]
sshd_config:4 match all [Match all]
sshd_config:5 permittty no [Match all]
`,
		},
		{
			name: "links",
			files: files{
				sshd.MainFile:                   "Include sshd_config.d/*.conf\n",
				"/etc/ssh/sshd_config.d/a.conf": "-> ../elsewhere",
				"/etc/ssh/elsewhere":            "Port 9\n",
				"/etc/ssh/sshd_config.d/b.conf": "-> /nowhere",
			},
			want: "a.conf:1 port 9\n",
		},
		{
			name:  "garbled",
			files: files{sshd.MainFile: "Port 22\nh,m,a,c\n"},
			err:   "/etc/ssh/sshd_config:2: no value",
		},
		{
			name:  "an open quote",
			files: files{sshd.MainFile: "Banner \"x\n"},
			err:   "/etc/ssh/sshd_config:1: a quote is not closed",
		},
		{
			name:  "a file that includes itself",
			files: files{sshd.MainFile: "Include sshd_config\n"},
			err:   "/etc/ssh/sshd_config: included more than 16 deep",
		},
		{
			name:  "no configuration at all",
			files: files{},
			err:   "reading sshd's configuration: file does not exist",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines, err := sshd.Lines(t.Context(), tt.files, nil)
			if got := text(err); !strings.HasSuffix(got, tt.err) || (err == nil) != (tt.err == "") {
				t.Fatalf("error %q, want %q", got, tt.err)
			}
			var b strings.Builder
			for _, l := range lines {
				if l.Keyword == "include" {
					continue
				}
				b.WriteString(filepath.Base(l.File) + ":" + itoa(l.Number) + " " + l.Keyword + " " + l.Value())
				for _, m := range l.Matches {
					b.WriteString(" [" + m.String() + "]")
				}
				b.WriteString("\n")
			}
			if got := b.String(); got != tt.want && tt.err == "" {
				t.Errorf("got:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

func TestLinesExtra(t *testing.T) {
	f := files{sshd.MainFile: "Include sshd_config.d/*.conf\n", "/etc/ssh/sshd_config.d/50-x.conf": "Port 50\n"}
	lines, err := sshd.Lines(t.Context(), f, map[string]string{"/etc/ssh/sshd_config.d/00-ours.conf": "Port 1\n"})
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 3 || lines[1].Value() != "1" || lines[2].Value() != "50" {
		t.Errorf("got %v", lines)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func itoa(n int) string { return strconv.Itoa(n) }

func TestSample(t *testing.T) {
	base := sshd.Spec{User: "alice", Host: "192.0.2.1", Addr: "192.0.2.1", LocalPort: 22}
	member := func(group string) string { return map[string]string{"sudo": "carol"}[group] }
	tests := []struct {
		match, want string
		impossible  bool
	}{
		{match: "all", want: "user=alice,host=192.0.2.1,addr=192.0.2.1,lport=22"},
		{match: "User bob,eve", want: "user=bob,host=192.0.2.1,addr=192.0.2.1,lport=22"},
		{match: "User !bob,dep*", want: "user=depx,host=192.0.2.1,addr=192.0.2.1,lport=22"},
		{match: "User=bob", want: "user=bob,host=192.0.2.1,addr=192.0.2.1,lport=22"},
		{match: "Group sudo", want: "user=carol,host=192.0.2.1,addr=192.0.2.1,lport=22"},
		{match: "Group none", impossible: true},
		{match: "Address 10.0.0.0/8", want: "user=alice,host=10.0.0.1,addr=10.0.0.1,lport=22"},
		{match: "Address 10.1.*", want: "user=alice,host=10.1.1.1,addr=10.1.1.1,lport=22"},
		{match: "Address 2001:db8::/32", want: "user=alice,host=2001:db8::1,addr=2001:db8::1,lport=22"},
		{match: "Host *.example.com Address *,!10.0.0.1", want: "user=alice,host=x.example.com,addr=192.0.2.1,lport=22"},
		{match: "LocalPort 2222 User bob", want: "user=bob,host=192.0.2.1,addr=192.0.2.1,lport=2222"},
		{match: "Invalid-User", impossible: true},
		{match: "User !bob", impossible: true},
	}
	for _, tt := range tests {
		t.Run(tt.match, func(t *testing.T) {
			lines, err := sshd.ParseConfig("f", "Match "+tt.match)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := sshd.Sample(lines[0].Matches, base, member)
			if ok == tt.impossible || ok && got.String() != tt.want {
				t.Errorf("got %v, %v; want %v", got, ok, tt.want)
			}
		})
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		"Port 22\n", "Match User bob\n  PasswordAuthentication yes\n", "Include \"/a b/*.conf\" x\n",
		"h,m,a,c,-,s\n", "AllowUsers 'a\\' b' # c\n", "Match\n", "Match Host\n", "\x00\xff =\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		lines, err := sshd.ParseConfig("f", content)
		if err != nil {
			return
		}
		source := strings.Split(content, "\n")
		at := 0
		for _, l := range lines {
			if l.Number <= at || l.Number > len(source) {
				t.Fatalf("line %d comes after line %d of %d", l.Number, at, len(source))
			}
			at = l.Number
			if !strings.Contains(source[at-1], l.Text) || l.Keyword != sshd.Canonical(l.Keyword) || len(l.Args) == 0 {
				t.Fatalf("line %d is %q and was read as %+v", at, source[at-1], l)
			}
			// What was read of one line is read of that line alone.
			again, err := sshd.ParseConfig("f", l.Text)
			if err != nil || len(again) != 1 || !slices.Equal(again[0].Args, l.Args) {
				t.Fatalf("%q was read as %q and then as %v, %v", l.Text, l.Args, again, err)
			}
		}
	})
}
