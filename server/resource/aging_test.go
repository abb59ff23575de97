package resource_test

import (
	"context"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

// chage imitates chage(1), as far as whole days go.
func chage(_ context.Context, h *hosttest.Host, _ string, argv []string) (string, error) {
	field := map[string]int{"--lastday": 2, "--mindays": 3, "--maxdays": 4, "--warndays": 5, "--inactive": 6, "--expiredate": 7}
	options, name := argv[1:len(argv)-1], argv[len(argv)-1]
	lines := strings.Split(h.Content("/etc/shadow"), "\n")
	for i, line := range lines {
		f := strings.Split(line, ":")
		if f[0] != name {
			continue
		}
		for ; len(options) >= 2; options = options[2:] {
			at, known := field[options[0]]
			if !known {
				return "", hosttest.Exit{Status: 2, Output: "usage"}
			}
			f[at] = strings.TrimPrefix(options[1], "-1")
		}
		lines[i] = strings.Join(f, ":")
	}
	h.PutEntry("/etc/shadow", server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: strings.Join(lines, "\n")})
	return "", nil
}

func TestAging(t *testing.T) {
	line := func(fields string) func(*hosttest.Host) {
		return func(h *hosttest.Host) {
			h.Handle("chage", chage)
			h.PutEntry("/etc/shadow", server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: "root:*:" + fields + ":\ndaemon:*:19700:0:99999:7:::\n"})
		}
	}
	root := resource.Aging{Account: "root"}
	drift := line("19000:0:5:7::")
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "must be changed", Resource: root, Host: on(line("0:0:99999:7::")), Drift: drift},
		hosttest.Case{Name: "gets old", Resource: root, Host: on(line("19700:0:30:7:5:")), Drift: drift},
		hosttest.Case{Name: "expires", Resource: root, Host: on(line("19700::::0:19000")), Drift: drift},
	)
	for state, want := range map[server.State]bool{
		"never expires": true, "days 19700:0:99999:7::": true, "days :0::7::": true, "days 1:0:-1:7::": true,
		"": false, "days 0:0:99999:7::": false, "days 19700:0:90:7::": false, "days 19700:0:99999:7::20000": false, "days 1": false,
	} {
		if got := root.Accepts(state); got != want {
			t.Errorf("Accepts(%q): %v", state, got)
		}
	}
}
