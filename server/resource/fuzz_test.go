package resource

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-security/holdfast/server"
)

func FuzzEntryState(f *testing.F) {
	f.Add("0644 root:root\n\ncontent\n")
	f.Add("4755 root:root\nxattr user.a eA==\n\n\n\n")
	f.Add("link 1000:root\n\n../target")
	f.Add("directory 1777 root:root\n")
	f.Add("0600 root:root\nbase64\n\n//4A")
	f.Add("0600 :\n")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseEntryState(server.State(text))
		if err != nil {
			return
		}
		// Printed and read again it is the same, and survives a journal.
		s := entryState(e)
		again, err := parseEntryState(s)
		if err != nil || !reflect.DeepEqual(again, e) && !(e.Mode.IsDir() && e.Content != "") {
			t.Fatalf("%q is %+v, printed %q, read again %+v, %v", text, e, s, again, err)
		}
		if !utf8.ValidString(text) {
			return
		}
		b, err := json.Marshal(s)
		var back server.State
		if err != nil || json.Unmarshal(b, &back) != nil || back != s {
			t.Fatalf("%q came back from JSON as %q", s, back)
		}
	})
}

// FuzzEntryContent shows that no content is mistaken for another.
func FuzzEntryContent(f *testing.F) {
	f.Add("", "root", uint32(0o644))
	f.Add("\n\nbase64\n", "root", uint32(0o4755))
	f.Add("\xff\n", "1000", uint32(0o1777))
	f.Fuzz(func(t *testing.T, content, owner string, mode uint32) {
		if owner == "" || strings.ContainsAny(owner, " :\n") || !utf8.ValidString(owner) {
			return
		}
		m, err := parseOctal(fmt.Sprintf("%o", mode&0o7777))
		if err != nil {
			t.Fatal(err)
		}
		e := server.Entry{Mode: m, Owner: owner, Group: owner, Content: content, Xattrs: map[string]string{"user." + content: content}}
		got, err := parseEntryState(entryState(e))
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v came back as %+v, %v", e, got, err)
		}
	})
}

func FuzzSimulation(f *testing.F) {
	f.Add("NOTE: This is only a simulation!\nInst libcrack2 (2.9.6-5+b1 Debian:12.15/oldstable [amd64])\nConf libcrack2 (2.9.6)\n")
	f.Add("Inst base-files [12.4] (12.4+deb12u1 Debian:12.0/oldstable [amd64])\nRemv foo [1.2]\nPurg bar [1] []\n")
	f.Add("Inst x\n")
	f.Fuzz(func(t *testing.T, out string) {
		s, err := parseSimulation(out)
		if err != nil {
			return
		}
		// Nothing that apt would do is overlooked.
		said := map[string]bool{}
		for line := range strings.Lines(out) {
			if w := strings.Fields(line); len(w) > 1 && (w[0] == "Inst" || w[0] == "Remv" || w[0] == "Purg") {
				said[w[1]] = true
			}
		}
		for name := range said {
			if !slices.Contains(s.installed, name) && !slices.Contains(s.upgraded, name) && !slices.Contains(s.removed, name) {
				t.Fatalf("%q is overlooked in %+v", name, s)
			}
		}
	})
}

func FuzzDpkg(f *testing.F) {
	f.Add("adduser adduser all installed ok\nlibc6:amd64 libc6 amd64 installed ok\nx x amd64 half-configured ok\ny y all installed reinstreq\n")
	f.Add("a b c d\n")
	f.Fuzz(func(t *testing.T, out string) {
		all, err := parseDpkg(out)
		if err != nil {
			return
		}
		for name, status := range all {
			if status == "" || status == absent && !strings.Contains(out, absent) || all.status(name) != status {
				t.Fatalf("%q is %q", name, status)
			}
		}
	})
}

func FuzzShow(f *testing.F) {
	f.Add("ActiveState=active\nExecReload={ path=/usr/sbin/sshd ; start_time=[n/a] ; code=(null) ; status=0/0 }\n" +
		"ExecReload={ path=/bin/kill ; start_time=[Mon 2026-11-23 17:22:34 UTC] ; stop_time=[n/a] ; pid=1 ; code=exited ; status=0 }\n")
	f.Add("ExecMainStartTimestamp=Mon 2026-11-23 17:22:34.182788 UTC\n")
	f.Add("=\n")
	f.Fuzz(func(t *testing.T, out string) {
		all, err := parseShow(out)
		if err != nil {
			return
		}
		for name, value := range all {
			if name == "" || !strings.Contains(out, name+"="+strings.Split(value, "\n")[0]) {
				t.Fatalf("%q is %q", name, value)
			}
		}
		if at, err := lastReload(all["ExecReload"]); err != nil && !at.IsZero() {
			t.Fatalf("the time %v and the error %v", at, err)
		}
		if at, err := parseTimestamp(all["ExecMainStartTimestamp"]); err != nil && !at.IsZero() {
			t.Fatalf("the time %v and the error %v", at, err)
		}
	})
}

func FuzzPAMState(f *testing.F) {
	f.Add("/etc/pam.d/common-auth", "0644 root:root\n\nauth required pam_unix.so\n")
	f.Add("/var/lib/pam/seen", "")
	f.Add("/x", "0644 root:root\n\n\n  \n\n/y (none)\nno break")
	f.Fuzz(func(t *testing.T, file, text string) {
		if !strings.HasPrefix(file, "/") || strings.Contains(file, "\n") || strings.HasSuffix(file, " (none)") {
			return
		}
		first, second := section(file, server.State(text)), section("/other", "0600 root:root\n\nx")
		parts := splitPAM(server.State(enabled + "\n" + first + second))
		if len(parts) != 2 || parts[0] != first || parts[1] != second {
			t.Fatalf("%q was cut into %q", first+second, parts)
		}
		gotFile, gotText, err := parseSection(parts[0])
		if err != nil || gotFile != file || gotText != server.State(text) {
			t.Fatalf("%q %q came back as %q %q, %v", file, text, gotFile, gotText, err)
		}
	})
}

func FuzzProfile(f *testing.F) {
	f.Add("Name: Unix\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_unix.so nullok\nSession:\n\trequired pam_unix.so\n")
	f.Add("Session-Interactive-Only: yes\nSession:\n optional x\n")
	f.Fuzz(func(t *testing.T, text string) {
		for kind, modules := range parseProfile(text) {
			for _, m := range modules {
				if m == "" || strings.ContainsAny(m, " \t\n") || !strings.Contains(text, m) {
					t.Fatalf("%s uses %q", kind, m)
				}
			}
		}
	})
}
