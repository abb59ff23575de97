package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
)

// What is excepted is counted apart, in text and in JSON, and is no finding; an
// exception that is over is one.
func TestPrintExcepted(t *testing.T) {
	e := &server.Exception{Control: "ssh-sessions", Reason: "an old client", Owner: "alice", Until: "2027-01-31"}
	all := []serverAudit{{Name: "app-1", Results: []server.Result{
		{Control: "root-locked", Guide: "3.9", Title: "Root has no password", Verdict: server.Pass},
		{Control: "ssh-sessions", Guide: "3.7", Title: "SSH sessions are limited", Verdict: server.Excepted, Exception: e,
			Findings: []server.Finding{{Verdict: server.Fail, What: "sshd says so", Evidence: "maxsessions 99"}}},
	}}}
	printed := func(format string, evidence bool) string {
		var out bytes.Buffer
		a := &app{output: newOutput(&out, &out, format == "json"), format: format}
		if err := a.printReport(a.report("shop", all, nil), auditOptions{evidence: evidence}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	text := printed("text", false)
	for _, want := range []string{
		"  3.7 Locking remote access  excepted\n    - ssh-sessions  SSH sessions are limited\n        until 2027-01-31: an old client (alice)\n", "  1 passed, 0 failed, 1 excepted\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "maxsessions") || !strings.Contains(printed("text", true), "maxsessions 99") {
		t.Errorf("what is excepted is for --evidence alone:\n%s", text)
	}
	var back []serverAudit
	if err := json.Unmarshal([]byte(printed("json", false)), &back); err != nil {
		t.Fatal(err)
	}
	if r := back[0].Results[1]; r.Verdict != "excepted" || r.Exception == nil || *r.Exception != *e {
		t.Errorf("as JSON: %+v", r)
	}
	if err := findings(all); err != nil {
		t.Errorf("an exception in force ends with %v", err)
	}
	all[0].Results[1].Verdict = server.Fail
	var exit *exitError
	if err := findings(all); !errors.As(err, &exit) || exit.code != exitFindings {
		t.Errorf("an exception that is over ends with %v", err)
	}
}
