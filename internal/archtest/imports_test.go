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

// rules has a line for every package of the repository. A package may always
// import the standard library; what else app/ may import stands in appMay,
// for the rest other modules are judged in review.
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
	"server/forecast":     {[]string{"server", "server/factor", "server/firewall", "server/resource", "server/accounts", "server/pam", "server/sshd"}, "who can log in is read from a Reader, live or rehearsed"},
	"server/firewall":     {[]string{"server"}, "what a server admits follows from its part of the site alone, so that a forecast and a probe can ask, too"},
	"server/probe":        {nil, "asks a host from outside; what the answers should be is for others to say"},
	"server/canary":       {[]string{"server", "server/sshd"}, "starts the sshd of a World that it is given; it makes none"},
	"server/control":      {[]string{"server", "server/factor", "server/firewall", "server/resource", "server/accounts", "server/pam", "server/sshd", "server/sudoers"}, "controls are data over kinds and readers; they reach no machine by themselves"},
	"server/txn":          {[]string{"server", "internal/durable"}, "the journal stores what it is given; the codec of kinds comes from cmd, so an old journal needs no control"},
	"server/txn/chaos":    {nil, "only a test: it drives the programs themselves"},
	"server/protocol":     {[]string{"server", "server/forecast"}, "both ends share messages; it knows neither end"},
	"server/report":       {[]string{"server", "server/protocol"}, "prints what it is given; server/protocol cleans what a server said"},
	"server/archive":      {[]string{"server", "internal/durable"}, "keeps audits at both ends, so it knows neither"},
	"server/desk":         {[]string{"server", "server/protocol", "internal/durable"}, "reaching a server is no business of what is done there"},
	"server/sshclient":    {[]string{"internal/durable"}, "the operator's own ssh is told where the servers are, and knows of no Holdfast"},
	"server/site":         {[]string{"server", "server/sshd", "internal/durable"}, "the site file becomes a Config, and holdfastd never sees it; server/sshd says at both ends how long a key has to be"},
	"server/site/ask":     {[]string{"server", "server/site"}, "the form library stays out of everything but the dialogue"},
	"server/lab":          {[]string{"internal/durable"}, "test servers know nothing of what is tested on them"},
	"server/lab/labtest":  {[]string{"server/lab"}, "the same, for tests"},
	"cmd/holdfast/daemon": {nil, "only carries bytes"},

	"app/appconfig":      {nil, "a secret that does not print, for any package"},
	"app/sqlsafe":        {nil, "queries, whoever runs them"},
	"app/breached":       {nil, "a set of passwords, whoever asks"},
	"app/breached/build": {[]string{"app/breached"}, "only wraps it in flags"},
	"app/password/wrap":  {[]string{"app/keyring", "app/password"}, "a table, and the hasher that wraps it"},
	"app/passpolicy":     {[]string{"app/breached", "app/password"}, "its zero value has the common list, and it judges the text that is hashed"},
	"app/gate":           {nil, "bounds any costly work, and knows nothing of passwords"},
	"app/outbox":         {nil, "mail that waits, whoever wrote it"},
	"app/throttle":       {[]string{"app/keyring"}, "counts attempts under keyed names, and knows no passwords"},
	"app/login":          {[]string{"app/gate", "app/outbox", "app/password", "app/throttle"}, "a login is counted, verified and refused in one place; it declares what it needs of a store"},
	"app/login/logintest": {[]string{
		"app/gate", "app/keyring", "app/login", "app/outbox", "app/password", "app/store/storetest", "app/throttle",
	}, "wires a login on any store"},
	"app/store":            {[]string{"app/access", "app/account", "app/login", "app/mfa", "app/outbox", "app/recovery", "app/support", "app/seclog", "app/session", "app/throttle"}, "implements what they declare; they never import it"},
	"app/store/sqlite":     {[]string{"app/store"}, "names the dialect"},
	"app/store/mysql":      {[]string{"app/store"}, "names the dialect"},
	"app/store/postgres":   {[]string{"app/store"}, "names the dialect"},
	"app/store/memory":     {[]string{"app/access", "app/account", "app/login", "app/mfa", "app/outbox", "app/recovery", "app/support", "app/seclog", "app/session", "app/throttle"}, "the same interfaces without a database"},
	"app/store/storetest":  {[]string{"app/login", "app/mfa", "app/outbox", "app/throttle"}, "the suite of every store knows the interfaces and no store"},
	"app/store/drivertest": {[]string{"app/store", "app/store/sqlite"}, "opens stores on real databases, for tests"},
	"app/store/drivertest/loginbench": {[]string{
		"app/gate", "app/keyring", "app/login", "app/outbox", "app/password", "app/store", "app/throttle", "app/store/drivertest", "app/store/drivertest/timing",
	}, "a program built on the packages, and its measurement"},
	"app/store/drivertest/sessionbench": {[]string{"app/login", "app/session", "app/store", "app/store/memory", "app/store/drivertest"}, "measures look-ups on two stores"},
	"app/store/drivertest/timing":       {nil, "numbers in, numbers out"},
	"app/mfa":                           {[]string{"app/keyring", "app/throttle"}, "secrets are sealed by the ring and tries are counted; it knows keys of accounts and no accounts"},
	"app/mfa/mfatest":                   {[]string{"app/keyring", "app/mfa", "app/throttle"}, "wires a second factor on any store"},
	"app/recovery":                      {[]string{"app/login", "app/outbox", "app/passpolicy", "app/password", "app/throttle"}, "a reset is a mail, a check of a password and a change of an account"},
	"app/recovery/recoverytest": {[]string{
		"app/gate", "app/keyring", "app/login", "app/mfa", "app/outbox", "app/password", "app/recovery", "app/session", "app/throttle",
	}, "wires a reset on any store"},
	"app/support": {[]string{"app/keyring", "app/login", "app/outbox", "app/recovery"}, "reads accounts, queues mail and asks recovery for a reset; it has nothing to change an account with"},
	"app/support/supporttest": {[]string{
		"app/gate", "app/keyring", "app/login", "app/mfa", "app/outbox", "app/password", "app/recovery", "app/support", "app/throttle",
	}, "wires a desk on any store"},
	"app/support/twilio": {nil, "a phone number and a text in, an answer out"},
	"app/outbox/smtp":    {[]string{"app/outbox"}, "sends what waits"},
	"app/account": {[]string{
		"app/login", "app/mfa", "app/outbox", "app/passpolicy", "app/password", "app/recovery", "app/throttle",
	}, "joins them; who is logged in is an interface, so it needs no sessions"},
	"app/account/accounttest": {[]string{
		"app/account", "app/gate", "app/keyring", "app/login", "app/mfa", "app/outbox", "app/password", "app/recovery", "app/session", "app/throttle",
	}, "wires accounts on any store"},
	"app/keyring":             {nil, "keys for every purpose, and it knows none of them"},
	"app/password":            {[]string{"app/gate", "app/keyring"}, "its zero value is gated, and the pepper is a key of the ring"},
	"app/session":             {nil, "a token and a store; it knows keys of accounts and no accounts"},
	"app/session/sessiontest": {[]string{"app/login", "app/session"}, "sessions of accounts, on any store"},
	"app/access":              {nil, "decides by what was verified, and verifies nothing"},
	"app/access/accesstest":   {[]string{"app/access", "app/login", "app/session"}, "decisions about somebody with a session, on any store"},
	"app/seclog":              {[]string{"app/keyring"}, "the MAC of a head and a pseudonym are keyed; it knows no accounts"},
	"app/seclog/seclogtest":   {[]string{"app/keyring", "app/seclog"}, "the chain on any store"},

	"bench/audit/bare": {[]string{"server", "server/control", "server/machine"}, "makes the changes with nothing around them"},
	"bench/audit":      {[]string{"server", "server/lab", "server/site"}, "measures the program from outside, on lab servers"},
	"cmd/holdfast": {[]string{
		"server", "server/protocol", "server/desk", "server/site", "server/site/ask", "server/sshclient", "server/lab", "server/machine",
		"server/control", "server/factor", "server/forecast", "server/report", "server/archive", "cmd/holdfast/daemon", "internal/durable",
	}, "main ties things together"},
	"cmd/holdfastd": {[]string{
		"server", "server/protocol", "server/machine", "server/canary", "server/control", "server/resource", "server/forecast", "server/archive", "server/sshd", "server/txn",
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

// appMay are the modules that a package under app/ may import beside the standard
// library: whoever imports one of our packages gets them too.
var appMay = []string{"golang.org/x/crypto", "golang.org/x/text", "golang.org/x/time"}

// appModules are the packages under app/ that may import more, each with its
// reason. Each has a go.mod of its own.
var appModules = map[string]rule{
	"app/store/drivertest": {[]string{"github.com/alexedwards/scs", "github.com/go-sql-driver/mysql", "github.com/jackc/pgx", "modernc.org/sqlite"}, "the stores speak database/sql, their tests need drivers; scs is what sessions are measured beside"},
	"app/password/wrap":    {[]string{"github.com/go-sql-driver/mysql", "github.com/jackc/pgx", "modernc.org/sqlite"}, "it opens the operator's database by its URL"},
}

// A program that wants one package of app/ inherits neither the dependencies of
// the servers' part nor a driver.
func TestAppImports(t *testing.T) {
	_, all := sources(t)
	checked := 0
	for _, s := range all {
		if !strings.HasPrefix(s.pkg, "app/") {
			for _, path := range s.imports() {
				if strings.HasPrefix(path, module+"/app/") && (strings.HasPrefix(s.pkg, "server") || strings.HasPrefix(s.pkg, "internal/")) {
					t.Errorf("%s imports %s: server/ and app/ never import each other", s.path, path)
				}
			}
			continue
		}
		may := append(slices.Clip(appMay), module+"/app")
		for dir, r := range appModules {
			if s.pkg == dir || strings.HasPrefix(s.pkg, dir+"/") {
				may = append(may, r.may...)
			}
		}
		for _, path := range s.imports() {
			first, _, _ := strings.Cut(path, "/")
			if !strings.Contains(first, ".") {
				continue // the standard library
			}
			checked++
			if !slices.ContainsFunc(may, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") }) {
				t.Errorf("%s imports %s: app/ imports the standard library and golang.org/x", s.path, path)
			}
		}
	}
	if checked < 5 {
		t.Errorf("only %d imports checked: the walk is broken", checked)
	}
}
