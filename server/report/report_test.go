package report_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/joshdk/go-junit"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/report"
)

// print returns what a printer writes of the sample.
func print(t *testing.T, p func(io.Writer, report.Report) error, r report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := p(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func plain(w io.Writer, r report.Report) error { return report.Text(w, r, report.TextOptions{}) }

func evidence(w io.Writer, r report.Report) error {
	return report.Text(w, r, report.TextOptions{Evidence: true})
}

// contains demands each of the texts.
func contains(t *testing.T, in string, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(in, s) {
			t.Errorf("it does not contain %q:\n%s", s, in)
		}
	}
}

func TestText(t *testing.T) {
	short := print(t, plain, sample())
	contains(t, short,
		"app-1\n  3.4 Password quality  1 of 1\n    ✓ password-quality ",
		"    ✗ ssh-keys-only        SSH accepts keys and no passwords\n        ✗ file /etc/ssh/",
		"            -PasswordAuthentication yes\n            +PasswordAuthentication no\n",
		"    - ssh-sessions        ", "        until 2027-01-31: an old client <of the warehouse> (alice)\n",
		"  changed since 2026-11-16 19:30 UTC\n", "    ssh-keys-only: pass → fail\n        ✗ file /etc/ssh/",
		"\n\ndb-1, by itself at 2026-11-23 10:30 UTC\n", "        ? the clock is in sync\n            systemd-timesyncd",
	)
	if strings.Contains(short, "$ ") && strings.Contains(short, "getent group") || strings.Contains(short, "seen as it is to be") {
		t.Errorf("evidence was not asked for:\n%s", short)
	}
	if strings.Index(short, "3.9 ") > strings.Index(short, "3.10 ") {
		t.Error("3.10 comes before 3.9")
	}
	long := print(t, evidence, sample())
	contains(t, long, "            seen as it is to be\n            in two lines\n            $ sshd -T -C user=root\n", "            $ getent group sudo\n")

	// What is coloured says the same.
	colored := print(t, func(w io.Writer, r report.Report) error {
		return report.Text(w, r, report.TextOptions{Style: func(s, color string, bold bool) string { return "\x1b[1m" + s + "\x1b[0m" }})
	}, sample())
	if strip := regexp.MustCompile("\x1b\\[[01]m").ReplaceAllString(colored, ""); strip != short || colored == short {
		t.Errorf("colours change the text:\n%s", strip)
	}
}

// What a script reads is a contract.
func TestJSON(t *testing.T) {
	text := print(t, report.JSON, sample())
	var all []struct {
		Server  string
		Results []server.Result
		Error   string
		Changes *report.Changes
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 || all[0].Server != "app-1" || len(all[0].Results) != len(secured()) || all[2].Error == "" || len(all[0].Changes.Controls) != 3 {
		t.Errorf("got %+v", all)
	}
	contains(t, text, "[\n  {\n    \"server\": \"app-1\",\n    \"results\": [\n      {\n        \"control\": \"", `"owner": "alice"`)
}

func TestSARIFIsValid(t *testing.T) {
	schema := compile(t)
	all := sample()
	fine := report.New(report.Report{Site: "shop", Made: made, Version: "v1", Servers: []report.Server{{Name: "app-1", Results: secured()}}})
	for name, r := range map[string]report.Report{"everything": all, "fine": fine, "nothing": report.New(report.Report{Site: "shop", Made: made})} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(print(t, report.SARIF, r)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The schema can tell.
	bad := strings.Replace(print(t, report.SARIF, all), `"kind": "fail"`, `"kind": "failed"`, 1)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(bad))
	if err != nil {
		t.Fatal(err)
	}
	if schema.Validate(doc) == nil {
		t.Error("the schema accepts anything")
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	c.AssertFormat()
	if err := c.AddResource("sarif.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The meaning that a schema does not see.
func TestSARIFMeans(t *testing.T) {
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Rules []struct {
						ID            string
						Relationships []struct {
							Target struct {
								ID            string
								ToolComponent struct{ Name string }
							}
						}
					}
				}
			}
			Taxonomies []struct {
				Name, Version string
				Taxa          []struct{ ID string }
			}
			Invocations []struct {
				ExecutionSuccessful        bool
				ToolExecutionNotifications []struct{ Message struct{ Text string } }
			}
			Results []struct {
				RuleID       string
				RuleIndex    int
				Kind, Level  string
				Message      struct{ Text string }
				Suppressions []struct{ Justification string }
				Fingerprints map[string]string `json:"partialFingerprints"`
			}
		}
	}
	if err := json.Unmarshal([]byte(print(t, report.SARIF, sample())), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	var got []string
	prints := map[string]bool{}
	for _, r := range run.Results {
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("rule %d is not %s", r.RuleIndex, r.RuleID)
		}
		if r.Kind != "fail" && r.Level != "none" {
			t.Errorf("a result of kind %s has level %s", r.Kind, r.Level)
		}
		line := r.RuleID + " " + r.Kind + " " + r.Message.Text
		for _, s := range r.Suppressions {
			line += " (" + s.Justification + ")"
		}
		got = append(got, line)
		prints[r.Fingerprints["holdfast/v1"]] = true
	}
	for _, want := range []string{
		"ssh-keys-only fail app-1: does not hold: sshd offers no password to root",
		"time-in-sync open db-1: could not be told: the clock is in sync",
		"ssh-sessions notApplicable db-1: excepted: ",
	} {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("no result %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
	if len(got) != 7 || len(prints) != 7 {
		t.Errorf("%d results with %d fingerprints, want 7", len(got), len(prints))
	}
	i := run.Invocations[0]
	if i.ExecutionSuccessful || !strings.Contains(i.ToolExecutionNotifications[0].Message.Text, "backup-1 could not be audited") {
		t.Errorf("invocation %+v", i)
	}
	taxa := map[string]bool{}
	for _, x := range run.Taxonomies {
		if x.Name != "Guide to User Data Security" && x.Version == "" {
			t.Errorf("%s has no version", x.Name)
		}
		for _, taxon := range x.Taxa {
			taxa[x.Name+" "+taxon.ID] = true
		}
	}
	for _, rule := range run.Tool.Driver.Rules {
		for _, rel := range rule.Relationships {
			if !taxa[rel.Target.ToolComponent.Name+" "+rel.Target.ID] {
				t.Errorf("%s is related to %v, which is in no taxonomy", rule.ID, rel.Target)
			}
		}
	}
}

// An ordinary reader of JUnit's XML sees the same numbers.
func TestJUnitIsRead(t *testing.T) {
	suites, err := junit.Ingest([]byte(print(t, report.JUnit, sample())))
	if err != nil {
		t.Fatal(err)
	}
	if len(suites) != 3 {
		t.Fatalf("%d suites", len(suites))
	}
	n := len(secured())
	for i, want := range []junit.Totals{
		{Tests: n, Failed: 2, Skipped: 1, Passed: n - 3},
		{Tests: n, Failed: 1, Error: 1, Skipped: 1, Passed: n - 3},
		{Tests: 1, Error: 1},
	} {
		if got := suites[i].Totals; got != want {
			t.Errorf("%s: %+v, want %+v", suites[i].Name, got, want)
		}
	}
	for _, test := range suites[0].Tests {
		switch {
		case strings.HasPrefix(test.Name, "ssh-keys-only"):
			if test.Classname != "app-1.3_7" || !strings.Contains(test.Error.Error(), "$ sshd -T -C user=root") {
				t.Errorf("%+v", test)
			}
		case strings.HasPrefix(test.Name, "ssh-sessions"):
			if test.Status != junit.StatusSkipped || !strings.Contains(test.Message, "until 2027-01-31") {
				t.Errorf("%+v", test)
			}
		}
	}
}

// What an attacker wrote on a server does nothing at the desk.
func TestHostileEvidence(t *testing.T) {
	r := sample()
	for name, p := range map[string]func(io.Writer, report.Report) error{
		"text": evidence, "json": report.JSON, "sarif": report.SARIF, "junit": report.JUnit, "html": report.HTML,
	} {
		out := print(t, p, r)
		for _, bad := range []string{"\x1b", "\x00", "\x07", "\x08", "\u202e", "\ufeff", `\u001b`, `\u202e`, "owned"} {
			if strings.Contains(out, bad) {
				t.Errorf("%s contains %q", name, bad)
			}
		}
		if !strings.Contains(out, "red") || !strings.Contains(out, "alert(1)") {
			t.Errorf("%s hides the evidence", name)
		}
	}
	page := print(t, report.HTML, r)
	for _, bad := range []string{"<script", "<img", "onerror=alert(2)>"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	contains(t, page, "&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;/pre&gt;&lt;/style&gt;", "an old client &lt;of the warehouse&gt;")
	if n := strings.Count(page, "</style>"); n != 1 {
		t.Errorf("the page has %d ends of its style", n)
	}
}

// The page needs nothing that is not in it.
func TestPageIsSelfContained(t *testing.T) {
	page := print(t, report.HTML, sample())
	for _, m := range regexp.MustCompile(`(?i)\s(?:src|href|action|data|srcset|poster|xlink:href)\s*=\s*"([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(m[1], "#") {
			t.Errorf("the page points at %s", m[1])
		}
	}
	for _, bad := range []string{"@import", "url(", "<link", "<script", " style=", "http-equiv=\"refresh\""} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	contains(t, page, "default-src &#39;none&#39;", `<a href="#c-ssh-keys-only">`, `id="c-ssh-keys-only"`)
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("nothing has the id %s", m[1])
		}
	}
}

func TestPageSays(t *testing.T) {
	page := print(t, report.HTML, sample())
	contains(t, page,
		"backup-1 could not be audited", "no route to host",
		"CIS Debian 12 1.1.0", "section 3.7", "no public benchmark that we know of",
		"<span class=\"del\">-PasswordAuthentication yes", "getent group sudo", "alice", "2027-01-31",
		"2026-11-23: ", "Verdicts that changed", "pass → fail", "the server itself", "at the desk: <code>holdfast audit --evidence db-1</code>",
	)
	if strings.Index(page, `id="findings"`) > strings.Index(page, `id="sections"`) {
		t.Error("findings do not come first")
	}
}

// Days without an audit are shown as such, and what is kept is put in order.
func TestHistory(t *testing.T) {
	r := sample()
	r.Kept = append(kept([]string{"app-1"}, 3), server.AuditRecord{Server: "app-1", At: made.AddDate(0, 0, -200)})
	slices.Reverse(r.Kept)
	page := print(t, report.HTML, report.New(r))
	contains(t, page, "<p>3 days with audits. 2026-11-21: ", "<title>2026-11-20: no audit</title>")
	if n := strings.Count(page, ": no audit</title>"); n != 87 {
		t.Errorf("%d days without an audit, want 87", n)
	}
	r.Kept = nil
	contains(t, print(t, report.HTML, r), "No earlier audits are kept at this desk.")
}

func TestCompare(t *testing.T) {
	one := func(id string, v server.Verdict, what ...string) server.Result {
		r := server.Result{Control: id, Verdict: v}
		for _, w := range what {
			r.Findings = append(r.Findings, server.Finding{Verdict: server.Fail, What: w})
		}
		return r
	}
	got := report.Compare(
		[]server.Result{one("a", server.Pass), one("b", server.Fail, "x", "y"), one("c", server.Fail, "z"), one("old", server.Fail, "o"), one("same", server.Fail, "s")},
		[]server.Result{one("same", server.Fail, "s"), one("a", server.Fail, "w"), one("b", server.Fail, "y", "v"), one("c", server.Pass), one("new", server.Pass)},
	)
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"control":"a","title":"","before":"pass","after":"fail","new":["w"]},` +
		`{"control":"b","title":"","before":"fail","after":"fail","new":["v"],"gone":["x"]},` +
		`{"control":"c","title":"","before":"fail","after":"pass","gone":["z"]},` +
		`{"control":"new","title":"","after":"pass"},` +
		`{"control":"old","title":"","before":"fail","gone":["o"]}]`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// The score never flatters.
func TestTally(t *testing.T) {
	for _, c := range []struct {
		t    report.Tally
		want int
	}{{report.Tally{Pass: 199, Fail: 1}, 99}, {report.Tally{Pass: 2, Excepted: 3}, 100}, {report.Tally{Unknown: 1}, 0}, {report.Tally{}, 100}} {
		if got := c.t.Percent(); got != c.want {
			t.Errorf("%+v is %d %%, want %d", c.t, got, c.want)
		}
	}
	strange := report.Count([]server.Result{{Verdict: "wonderful"}})
	if strange.Pass != 0 || strange.Fine() {
		t.Errorf("a verdict that nobody knows counts as %+v", strange)
	}
}
