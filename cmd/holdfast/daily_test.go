package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kept are the names of the audits that the desk keeps of app-1.
func (s stage) kept(t *testing.T, kind string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(s.home, "state", "holdfast", "audits", "*", "app-1", kind, "*.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The server audits itself with whichever daemon is there, and the desk has its
// results after the next contact.
func (s stage) testDaily(t *testing.T) {
	const program = "/usr/local/lib/holdfast/holdfastd"
	daily := func() {
		t.Helper()
		s.exec(t, "", "systemctl", "start", "--wait", "holdfast-audit.service")
		// Results have names to the second: the next one is to have another.
		newest := s.exec(t, "", "bash", "-c", "ls /var/lib/holdfast/audits | tail -n 1 | cut -c 1-16")
		for newest == s.exec(t, "", "date", "-u", "+%Y%m%dT%H%M%SZ") {
		}
	}
	daily()
	mine := strings.TrimSpace(s.exec(t, "", "readlink", "-f", program))

	// Another version comes, and the older one is taken away.
	other := "/usr/local/lib/holdfast/" + strings.Repeat("ab", 32)
	s.exec(t, "", "mkdir", other)
	s.exec(t, "", "cp", mine, other+"/holdfastd")
	s.exec(t, "", "touch", "-d", "next minute", other+"/holdfastd")
	s.exec(t, "", other+"/holdfastd", "serve")
	if now := strings.TrimSpace(s.exec(t, "", "readlink", "-f", program)); now != other+"/holdfastd" {
		t.Errorf("the daily audit still runs %s", now)
	}
	// One that came earlier leaves the link alone.
	s.exec(t, "", mine, "serve")
	if now := strings.TrimSpace(s.exec(t, "", "readlink", "-f", program)); now != other+"/holdfastd" {
		t.Errorf("an older version has taken the link back to %s", now)
	}
	s.exec(t, "", "mv", filepath.Dir(mine), "/run/older")
	daily()
	s.exec(t, "", "mv", "/run/older", filepath.Dir(mine))

	// The program of the link is gone: the next contact mends it.
	s.exec(t, "", "rm", "-r", other)
	r := s.run(t, "audit", "app-1", "--since", "1s")
	r.exits(t, exitOK)
	r.prints(t, `^  nothing has changed since `)
	if now := strings.TrimSpace(s.exec(t, "", "readlink", "-f", program)); now != mine {
		t.Errorf("the link leads to %s", now)
	}
	if all := s.kept(t, "daily"); len(all) != 2 {
		t.Errorf("the desk has collected %v", all)
	}

	// Drift is found by the server, and seen at the desk.
	undo := s.plant(t, "/etc/sudoers.d/90-drift", "440", "alice ALL=(ALL) NOPASSWD: ALL\n")
	daily()
	s.run(t, "plan", "app-1").exits(t, exitFindings) // and collects
	if all := s.kept(t, "daily"); len(all) != 3 {
		t.Errorf("after plan the desk has collected %v", all)
	}
	r = s.run(t, "audit", "--kept", "--since", "1s", "app-1")
	r.exits(t, exitFindings)
	r.prints(t, `^app-1, by itself at `, `^    sudo-asks-password: pass → fail$`)
	r = s.run(t, "audit", "--kept", "--output", "html", "app-1")
	r.exits(t, exitFindings)
	r.prints(t, `<h3>Verdicts that changed</h3>`, `pass → fail`, `NOPASSWD`)
	undo()
	r = s.run(t, "audit", "--since", "1s", "app-1")
	r.exits(t, exitOK)
	if _, err := os.Stat(filepath.Join(s.home, "state", "holdfast", "audits")); err != nil {
		t.Error(err)
	}
}
