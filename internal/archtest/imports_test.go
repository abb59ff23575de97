package archtest

import (
	"slices"
	"strings"
	"testing"
)

// A rule says which of our own packages a package may import outside its tests.
type rule struct {
	may []string
	why string
}

// rules has a line for every package of the module. A package may always import
// the standard library; other modules are judged in review.
var rules = map[string]rule{
	"internal/archtest":   {nil, "it reads sources and needs none of them"},
	"internal/durable":    {nil, "a leaf: both parts write durably, and it knows neither"},
	"server":              {nil, "the domain: everything points to it, it points to nothing"},
	"server/accounts":     {[]string{"server"}, "the one reader of the account files, for every package that asks what they say"},
	"server/pam":          {[]string{"server"}, "reads the PAM stacks that a Reader shows"},
	"server/sshd":         {[]string{"server"}, "reads how sshd is configured, started and running"},
	"server/sudoers":      {[]string{"server"}, "reads the policy of sudo that a Reader shows"},
	"server/factor":       {nil, "codes and their file as numbers and text, for both ends"},
	"server/resource":     {[]string{"server", "server/accounts", "server/factor"}, "kinds know the domain and the files' formats, and no control, so that a kind can be used by any"},
	"server/machine":      {[]string{"server", "internal/durable"}, "the host is reached only through the domain's interfaces"},
	"server/hosttest":     {[]string{"server"}, "suites and the host in memory serve every implementation alike"},
	"server/forecast":     {[]string{"server", "server/accounts", "server/factor", "server/pam", "server/sshd"}, "who can log in is read from a Reader, live or rehearsed"},
	"server/canary":       {[]string{"server", "server/sshd"}, "starts the sshd of a World that it is given; it makes none"},
	"server/control":      {[]string{"server", "server/resource", "server/accounts", "server/factor", "server/pam", "server/sshd", "server/sudoers"}, "controls are data over kinds and readers; they reach no machine by themselves"},
	"server/txn":          {[]string{"server", "internal/durable"}, "the journal stores what it is given; the codec of kinds comes from cmd, so an old journal needs no control"},
	"server/txn/chaos":    {nil, "only a test: it drives the programs themselves"},
	"server/protocol":     {[]string{"server", "server/forecast"}, "both ends share messages; it knows neither end"},
	"server/desk":         {[]string{"server", "server/protocol", "internal/durable"}, "reaching a server is no business of what is done there"},
	"server/site":         {[]string{"server", "server/sshd", "internal/durable"}, "the site file becomes a Config, and holdfastd never sees it; server/sshd says at both ends how long a key has to be"},
	"server/site/ask":     {[]string{"server", "server/site"}, "the form library stays out of everything but the dialogue"},
	"server/lab":          {[]string{"internal/durable"}, "test servers know nothing of what is tested on them"},
	"server/lab/labtest":  {[]string{"server/lab"}, "the same, for tests"},
	"cmd/holdfast/daemon": {nil, "only carries bytes"},
	"bench/audit":         {[]string{"server", "server/lab", "server/site"}, "measures the program from outside, on lab servers"},
	"cmd/holdfast": {[]string{
		"server", "server/protocol", "server/desk", "server/site", "server/site/ask", "server/lab", "server/machine",
		"server/control", "server/factor", "server/forecast", "cmd/holdfast/daemon", "internal/durable",
	}, "main ties things together"},
	"cmd/holdfastd": {[]string{
		"server", "server/protocol", "server/machine", "server/canary", "server/control", "server/resource", "server/forecast", "server/sshd", "server/txn",
	}, "main ties things together; no SSH client, no site file on a server"},
}

func TestImports(t *testing.T) {
	_, all := sources(t)
	for _, s := range all {
		r, ok := rules[s.pkg]
		if !ok {
			t.Errorf("%s: package %s has no rule: say in rules what it may import, and why", s.path, s.pkg)
			continue
		}
		if s.test {
			continue
		}
		for _, path := range s.imports() {
			own, ok := strings.CutPrefix(path, module+"/")
			if !ok || slices.Contains(r.may, own) {
				continue
			}
			t.Errorf("%s imports %s: %s", s.path, own, r.why)
		}
	}
}

func TestRulesAreUsed(t *testing.T) {
	_, all := sources(t)
	have := packages(all)
	for pkg := range rules {
		if !slices.Contains(have, pkg) {
			t.Errorf("rules speaks of %s, which does not exist", pkg)
		}
	}
}

// What a server runs as root must not be able to open connections to others.
func TestDaemonHasNoSSHClient(t *testing.T) {
	_, all := sources(t)
	imports := map[string][]string{}
	for _, s := range all {
		if !s.test {
			imports[s.pkg] = append(imports[s.pkg], s.imports()...)
		}
	}
	seen := map[string]bool{}
	var walk func(pkg string, via []string)
	walk = func(pkg string, via []string) {
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		for _, path := range imports[pkg] {
			own, ours := strings.CutPrefix(path, module+"/")
			if own == "server/desk" || path == "golang.org/x/crypto/ssh/agent" {
				t.Errorf("holdfastd contains %s through %s", path, strings.Join(append(via, pkg), " -> "))
			}
			if ours {
				walk(own, append(slices.Clip(via), pkg))
			}
		}
	}
	walk("cmd/holdfastd", nil)
	if !seen["server"] {
		t.Error("the walk did not reach the domain: it is broken")
	}
}
