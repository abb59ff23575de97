package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/archive"
	"github.com/holdfast-security/holdfast/server/control"
)

// reportLimit is how long the report of a site with 3 servers and 90 days of
// audits may take.
const reportLimit = time.Second

// Three servers that have audited themselves for 90 days are reported on in no
// time.
func TestReportIsFast(t *testing.T) {
	o := operator{dir: t.TempDir(), home: t.TempDir()}
	if err := makeLabKey(o.path("alice")); err != nil {
		t.Fatal(err)
	}
	text := "site: shop\nadmins: [{name: alice, keys: [alice.pub]}]\nbreak_glass: {account: rescue}\nservers:\n"
	now := time.Now().UTC().Truncate(time.Second)
	for k, name := range []string{"app-1", "db-1", "backup-1"} {
		text += fmt.Sprintf("  - {name: %s, role: application, address: 192.0.2.%d}\n", name, k+10)
		s := archive.Shelf{Dir: filepath.Join(o.home, "state", "holdfast", "audits", "shop", name, byDay)}
		for i := range 90 {
			at := now.AddDate(0, 0, -i).Add(-time.Duration(k) * time.Hour)
			if err := s.Put(server.AuditRecord{Site: "shop", Server: name, At: at, Daily: true, Results: largeAudit(i + k)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(o.path("holdfast.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	best := time.Hour
	for range 3 {
		began := time.Now()
		r := o.typing(t, "", "audit", "--kept", "--since", "30d", "--output", "html")
		took := time.Since(began)
		r.exits(t, exitFindings)
		best = min(best, took)
		if !strings.Contains(r.out, "90 days with audits") && !strings.Contains(r.out, "89 days with audits") {
			t.Fatalf("the history is not that of 90 days:\n%.2000s", r.out)
		}
	}
	t.Logf("best of three: %v", best)
	if best > reportLimit {
		t.Errorf("the report took %v, the limit is %v", best, reportLimit)
	}
}

// largeAudit is an audit of 60 controls with 4 findings each and some 80 KB.
func largeAudit(seed int) []server.Result {
	var all []server.Result
	for i := range 60 {
		c := control.All()[i%len(control.All())]
		r := server.Result{Control: fmt.Sprintf("%s-%d", c.ID, i), Guide: c.Guide, Title: c.Title, Severity: c.Severity, Verdict: server.Pass}
		for k := range 4 {
			r.Findings = append(r.Findings, server.Finding{
				Verdict: server.Pass, What: fmt.Sprintf("statement %d of %s", k, c.ID),
				Evidence: strings.Repeat(fmt.Sprintf("line %d of what was seen\n", (seed*31+i*7+k)%97), 10), Command: "sshd -T -C user=root",
			})
		}
		if (seed/9+i)%20 == 0 {
			r.Verdict, r.Findings[0].Verdict = server.Fail, server.Fail
		}
		all = append(all, r)
	}
	return all
}
