package report_test

import (
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/report"
)

var made = time.Date(2026, 11, 23, 19, 30, 0, 0, time.UTC)

// hostile is evidence that somebody wrote who wants to do harm wherever it is
// shown.
const hostile = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\u202e <script>alert(1)</script> <img src=x onerror=alert(2)> " +
	"\"'`]]> </pre></style> &lt; ${{7*7}} {{.}} \x00\x08\ufeff javascript:alert(3)\n=cmd|' /C calc'!A0"

// at sets the verdict of a control among results.
func at(all []server.Result, id string, v server.Verdict, f ...server.Finding) {
	for i := range all {
		if all[i].Control == id {
			all[i].Verdict = v
			all[i].Findings = append(f, all[i].Findings...)
			return
		}
	}
	panic("no control " + id)
}

// secured are the results of a server on which all real controls hold.
func secured() []server.Result {
	var all []server.Result
	for _, c := range control.All() {
		r := server.Result{Control: c.ID, Guide: c.Guide, Title: c.Title, Severity: c.Severity, Verdict: server.Pass}
		for _, p := range c.Proofs(server.Config{Admins: []server.Admin{{Name: "alice"}}, BreakGlass: server.BreakGlass{Account: "rescue"}}) {
			r.Findings = append(r.Findings, server.Finding{
				Verdict: server.Pass, What: p.What, Evidence: "seen as it is to be\nin two lines", Command: "sshd -T -C user=root",
			})
		}
		all = append(all, r)
	}
	return all
}

// sample is a site in which everything occurs that a report can show.
func sample() report.Report {
	app, db, old := secured(), secured(), server.Exception{
		Control: "ssh-sessions", Owner: "alice", Reason: "an old client <of the warehouse>", Until: "2027-01-31",
	}
	at(app, "ssh-keys-only", server.Fail,
		server.Finding{
			Verdict: server.Fail, What: "file /etc/ssh/sshd_config.d/00-holdfast-keys-only.conf is as wanted",
			Evidence: server.Diff(server.Change{Before: "PasswordAuthentication yes\nUsePAM yes\n", After: "PasswordAuthentication no\nUsePAM yes\n"}),
		},
		server.Finding{
			Verdict: server.Fail, What: "sshd offers no password to root", Command: "sshd -T -C user=root,host=desk,addr=192.0.2.1 | grep -i passwordauthentication",
			Evidence: "passwordauthentication yes",
		})
	at(app, "no-other-admins", server.Fail, server.Finding{
		Verdict: server.Fail, What: "only the site's admins can become root", Evidence: hostile, Command: "getent group sudo",
	})
	at(db, "ssh-keys-only", server.Fail, server.Finding{
		Verdict: server.Fail, What: "sshd offers no password to root", Evidence: "passwordauthentication yes", Command: "sshd -T -C user=root",
	})
	at(db, "time-in-sync", server.Unknown, server.Finding{
		Verdict: server.Unknown, What: "the clock is in sync", Evidence: "systemd-timesyncd.service was started 3s ago and has not set the clock yet",
	})
	for _, all := range [][]server.Result{app, db} {
		at(all, "ssh-sessions", server.Excepted)
		for i := range all {
			if all[i].Control == "ssh-sessions" {
				all[i].Exception = &old
			}
		}
	}
	r := report.Report{
		Site: "shop", Made: made, Version: "v0.4.0", Command: "holdfast audit --output html", Controls: control.All(),
		Sections: []report.Section{{"3.4", "Password quality"}, {"3.6", "Administrator accounts"}, {"3.7", "Locking remote access"}},
		Servers: []report.Server{
			{Name: "app-1", Results: app, At: made.Add(-time.Second)},
			{Name: "db-1", Results: db, At: made.Add(-9 * time.Hour), Daily: true, Again: "holdfast audit --evidence db-1"},
			{Name: "backup-1", Error: "backup-1: dial tcp 192.0.2.12:22: connect: no route to host"},
		},
		Kept: kept([]string{"app-1", "db-1", "backup-1"}, 90),
	}
	r.Servers[0].Changes = &report.Changes{Since: made.AddDate(0, 0, -7), Controls: report.Compare(secured(), app)}
	return report.New(r)
}

// kept are audits of some servers, one a day, that get better and then drift.
func kept(names []string, days int) []server.AuditRecord {
	var all []server.AuditRecord
	for i := range days {
		for k, name := range names {
			if (i*7+k)%23 == 4 {
				continue // that day there was none
			}
			results := secured()
			broken := max(0, 5-i/6)
			if i > 70 && k == 0 {
				broken = 2
			}
			for n := range broken {
				at(results, results[(n*3+1)%len(results)].Control, server.Fail, server.Finding{Verdict: server.Fail, What: "it is as wanted", Evidence: fmt.Sprint(n)})
			}
			if i%31 == 12 {
				at(results, results[0].Control, server.Unknown, server.Finding{Verdict: server.Unknown, What: "the clock is in sync"})
			}
			all = append(all, server.AuditRecord{
				Site: "shop", Server: name, At: made.AddDate(0, 0, i-days+1).Add(-time.Duration(k) * time.Minute), Daily: i != days-1, Results: results,
			})
		}
	}
	return all
}
