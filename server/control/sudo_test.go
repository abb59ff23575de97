package control

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

const stockSudoers = "Defaults\tuse_pty\nroot\tALL=(ALL:ALL) ALL\n%sudo\tALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"

// withSudo puts sudo with its files on a host.
func withSudo(t *testing.T, version string, files ...string) *hosttest.Host {
	h := hosttest.Debian(t)
	h.PutEntry(sudoBinary, server.Entry{Mode: fs.ModeSetuid | 0o755, Owner: "root", Group: "root", Content: "ELF"})
	h.Handle("sudo", func(_ context.Context, _ *hosttest.Host, _ string, argv []string) (string, error) {
		if slices.Equal(argv[1:], []string{"--version"}) {
			return version, nil
		}
		return "", hosttest.Exit{Status: 1, Output: "usage"}
	})
	for i := 0; i < len(files); i += 2 {
		h.PutEntry(files[i], server.Entry{Mode: 0o440, Owner: "root", Group: "root", Content: files[i+1]})
	}
	return h
}

func TestWantSudo(t *testing.T) {
	tests := []struct {
		name, version string
		files         []string
		want          map[string]string // content by path; what is not in it is not to be touched
		own           []string          // lines that our file has, or with "-" before them has not
	}{
		{
			name: "stock", version: "Sudo version 1.9.16p2\n", files: []string{sudoersMain, stockSudoers},
			own: []string{"Defaults use_pty", "Defaults authenticate", "-%sudo"},
		},
		{
			name: "sudo-rs", version: "sudo-rs 0.2.8\n", files: []string{sudoersMain, stockSudoers},
			own: []string{"Defaults use_pty", "-Defaults authenticate"},
		},
		{
			name: "loose places in every file", files: []string{
				sudoersMain, stockSudoers + "#include local\n", "/etc/local", "a ALL=NOPASSWD: ALL\n",
				"/etc/sudoers.d/90-cloud-init-users", "# x\nb ALL=(ALL) NOPASSWD:ALL\n",
				"/etc/sudoers.d/not.read", "c ALL=NOPASSWD: ALL\n", "/etc/sudoers.d/fine", "d ALL=ALL\n",
			},
			want: map[string]string{"/etc/local": "a ALL=ALL\n", "/etc/sudoers.d/90-cloud-init-users": "# x\nb ALL=(ALL) ALL\n"},
		},
		{
			name: "files that read each other in", files: []string{sudoersMain, "@include /etc/a\n@includedir /etc/sudoers.d\n", "/etc/a", "@include /etc/sudoers\n@include /etc/none\n"},
			own: []string{"%sudo ALL=(ALL:ALL) ALL"},
		},
		{
			name: "nothing reads the directory", files: []string{sudoersMain, "root ALL=(ALL:ALL) ALL"},
			want: map[string]string{sudoersMain: "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"},
			own:  []string{"%sudo ALL=(ALL:ALL) ALL"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := withSudo(t, tt.version, tt.files...)
			wants, err := wantSudo(t.Context(), h, server.Config{})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, w := range wants {
				f, ok := w.(resource.File)
				if !ok {
					continue
				}
				if f.Mode != 0o440 || f.Test == nil {
					t.Errorf("%s: mode %o, test %q", f.Path, f.Mode, f.Test)
				}
				got[f.Path] = f.Content
				h.PutEntry(f.Path, server.Entry{Mode: 0o440, Owner: "root", Group: "root", Content: f.Content})
			}
			for _, line := range tt.own {
				line, not := strings.CutPrefix(line, "-")
				if strings.Contains(got[sudoersOwn], line) == not {
					t.Errorf("our file:\n%s", got[sudoersOwn])
				}
			}
			delete(got, sudoersOwn)
			for path, content := range tt.want {
				if got[path] != content {
					t.Errorf("%s: got %q, want %q", path, got[path], content)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("it touches %v", got)
			}
			again := resourceNames(t, wantSudo, h, server.Config{})
			for path := range tt.want {
				if slices.Contains(again, "file "+path) {
					t.Errorf("a second time it wants %v", again)
				}
			}
		})
	}
}

// What we write passes the visudo that is installed here, and a draft that it
// refuses never becomes policy.
func TestVisudoJudges(t *testing.T) {
	if _, err := os.Stat(visudo[0]); err != nil {
		if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
			t.Fatalf("HOLDFAST_MUST_RUN=1, but: %v", err)
		}
		t.Skip(err)
	}
	judge := func(content string) error {
		draft := filepath.Join(t.TempDir(), "draft")
		if err := os.WriteFile(draft, []byte(content), 0o440); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), visudo[0], append(slices.Clone(visudo[1:]), draft)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	for _, version := range []string{"Sudo version 1.9.16p2\n", "sudo-rs 0.2.8\n"} {
		for _, granted := range []bool{false, true} {
			own, err := ownSudoers(t.Context(), withSudo(t, version), granted)
			if err != nil {
				t.Fatal(err)
			}
			if err := judge(own); err != nil {
				t.Errorf("%s: %v\n%s", version, err, own)
			}
		}
	}
	if err := judge("Defaults no_such_setting\nanna ALL=(ALL\n"); err == nil {
		t.Error("visudo takes anything")
	}

	h := withSudo(t, "sudo-rs 0.2.8\n", sudoersMain, stockSudoers)
	var asked []string
	h.Handle("visudo", func(_ context.Context, _ *hosttest.Host, _ string, argv []string) (string, error) {
		asked = argv
		return "", hosttest.Exit{Status: 1, Output: "syntax error: unknown setting: 'timestamp_timeout'"}
	})
	wants, err := wantSudo(t.Context(), h, server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	before := h.String()
	own := wants[len(wants)-1]
	change, err := server.Check(t.Context(), h, own)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Apply(t.Context(), h, own, change); err == nil || !strings.Contains(err.Error(), "unknown setting") {
		t.Errorf("Apply: %v", err)
	}
	if len(asked) != len(visudo)+1 || !slices.Equal(asked[:len(visudo)], visudo) || h.String() != before {
		t.Errorf("visudo was asked %q, and the host is\n%s", asked, h)
	}
}

func TestWithoutSudo(t *testing.T) {
	h := hosttest.Debian(t)
	if got := resourceNames(t, wantSudo, h, server.Config{}); !slices.Equal(got, []string{"package sudo"}) {
		t.Errorf("wants %v", got)
	}
}

func TestPolicyFaults(t *testing.T) {
	tests := []struct{ name, json, want string }{
		{"good", `{"Defaults":[{"Options":[{"use_pty":true},{"timestamp_timeout":5}]}],"User_Specs":[{"User_List":[{"usergroup":"sudo"}],"Cmnd_Specs":[{"Options":[{"setenv":true}]}]}]}`, ""},
		{"NOPASSWD", `{"Defaults":[{"Options":[{"use_pty":true}]}],"User_Specs":[{"User_List":[{"username":"a"},{"usergroup":"b"}],"Cmnd_Specs":[{},{"Options":[{"authenticate":false}]}]}]}`, "NOPASSWD for a, %b"},
		{"authenticate", `{"Defaults":[{"Options":[{"use_pty":true}]},{"Binding":[{"username":"a"}],"Options":[{"authenticate":false}]}]}`, "Defaults !authenticate for a"},
		{"for ever", `{"Defaults":[{"Options":[{"use_pty":true},{"timestamp_timeout":-1}]}]}`, "Defaults timestamp_timeout=-1 for everybody"},
		{"exempt", `{"Defaults":[{"Options":[{"use_pty":true},{"exempt_group":"w"}]}]}`, "Defaults exempt_group=w for everybody"},
		{"root's", `{"Defaults":[{"Options":[{"use_pty":true},{"rootpw":true},{"targetpw":false}]}]}`, "Defaults rootpw for everybody"},
		{"no pty", `{}`, "Defaults use_pty is not set"},
		{"pty taken back", `{"Defaults":[{"Options":[{"use_pty":true},{"use_pty":false}]}]}`, "Defaults use_pty is not set"},
	}
	for _, tt := range tests {
		p, err := parsePolicy(tt.json)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.faults(), "\n"); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What the proof says of machines whose sudo behaves in one way or another.
func TestSudoRefuses(t *testing.T) {
	tests := []struct {
		name, says string
		exit       int
		holds      bool
		want       string
	}{
		{"asks", "sudo: a password is required\n", 1, true, "debian: sudo: a password is required"},
		{"sudo-rs asks", "sudo: interactive authentication is required\n", 1, true, "is required"},
		{"runs", "", 0, false, "debian: sudo ran a command"},
		{"broken", "sudo: /usr/bin/sudo must be owned by uid 0 and have the setuid bit set\n", 1, false, "setuid bit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := withSudo(t, "")
			h.Handle("runuser", func(context.Context, *hosttest.Host, string, []string) (string, error) {
				if tt.exit != 0 {
					return "", hosttest.Exit{Status: tt.exit, Output: tt.says}
				}
				return "", nil
			})
			a, err := sudoRefuses.Ask(t.Context(), h, server.Config{})
			if err != nil || a.Holds != tt.holds || !strings.Contains(a.Evidence, tt.want) {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}
