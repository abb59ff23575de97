package main

import (
	"encoding/base32"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// An admin is enrolled, works with codes, loses the phone and is enrolled anew.
func TestEnroll(t *testing.T) {
	labtest.Require(t)
	for _, suite := range suitesOf("trixie") {
		t.Run(suite, func(t *testing.T) {
			l := labtest.Lab(t, lab.Options{Suite: suite, Servers: []string{"app-1"}})
			s := stage{operator: newOperator(t, l), app: l.Servers()[0]}
			t.Run("no codes are wanted", func(t *testing.T) {
				s.run(t, "enroll", "alice").exits(t, exitUsage)
			})
			s.edit(t, "holdfast.yaml", "second_factor: {codes: none}", "second_factor: {codes: shared}")
			must(t, "key alone until enrolled", func(t *testing.T) {
				s.run(t, "apply", "--yes").exits(t, exitOK)
				r := s.run(t, "audit")
				r.exits(t, exitFindings)
				r.prints(t, `✗ second-factor `, `alice is not enrolled; the key alone is enough`)
			})
			t.Run("nobody to enroll", func(t *testing.T) {
				r := s.run(t, "enroll", "alice")
				r.exits(t, exitFailed)
				r.says(t, `set up by the admin in person`)
				s.run(t, "enroll", "mallory").exits(t, exitUsage)
			})
			before := s.tree(t, s.app)
			t.Run("no valid code", func(t *testing.T) {
				const ask = `(?s)the code that the app shows`
				code, shown := s.sitting(t, []answer{{ask, "000000"}, {"(?s)wait for the next one.*" + ask, "000000"}, {"(?s)wait for the next one.*wait for the next one.*" + ask, "000000"}}, "enroll", "alice", "--yes")
				if code != exitFailed || !strings.Contains(shown, "no valid code was typed; nothing was changed") {
					t.Errorf("exit status %d:\n%s", code, shown)
				}
				s.same(t, s.app, before, "refused enrolment")
				if names := s.secrets(t).Names(); strings.Contains(strings.Join(names, " "), "factor/") {
					t.Errorf("a secret is kept: %s", names)
				}
			})
			var first, second enrolled
			must(t, "enroll", func(t *testing.T) { first = s.enroll(t, nil) })
			must(t, "work with codes", func(t *testing.T) { s.testCodes(t, first) })
			must(t, "a lost phone", func(t *testing.T) {
				r := s.run(t, "enroll", "alice")
				r.exits(t, exitFailed)
				r.says(t, `alice is enrolled already`)
				// The recovery code opens the first login; the others are lent codes.
				second = s.enroll(t, []answer{{`Verification code \(alice\)`, first.Recovery[0]}}, "--reset")
				if second.Text() == first.Text() {
					t.Error("the key is the old one")
				}
			})
			must(t, "work with new codes", func(t *testing.T) { s.testCodes(t, second) })
		})
	}
}

// An enrolled admin's app, and the paper with the recovery codes.
type enrolled struct{ factor.Enrolment }

var (
	shownKey      = regexp.MustCompile(`\n +((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})\r`)
	shownRecovery = regexp.MustCompile(`\n +([0-9]{4}) ([0-9]{4})\r`)
)

// enroll scans what the terminal shows, types the app's code and keeps the
// recovery codes.
func (s stage) enroll(t *testing.T, logins []answer, args ...string) enrolled {
	t.Helper()
	var got enrolled
	scan := func(shown string) string {
		m := shownKey.FindStringSubmatch(shown)
		if m == nil {
			t.Fatalf("no key is shown:\n%s", shown)
		}
		key, err := base32.StdEncoding.DecodeString(strings.ReplaceAll(m[1], " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		got.Key = key
		return got.Code(time.Now())
	}
	code, shown := s.reading(t, append(logins,
		answer{`the code that the app shows for \S+ \(alice\): `, "scan"}, answer{`are they kept\? \[y/N\] `, "y"},
	), map[string]reader{"scan": scan}, append([]string{"enroll", "alice", "--yes"}, args...)...)
	if code != exitOK {
		t.Fatalf("exit status %d:\n%s", code, shown)
	}
	for _, m := range shownRecovery.FindAllStringSubmatch(shown, -1) {
		got.Recovery = append(got.Recovery, m[1]+m[2])
	}
	if len(got.Recovery) != factor.Recoveries || !strings.Contains(shown, "▀") {
		t.Errorf("%d recovery codes, or no picture:\n%s", len(got.Recovery), shown)
	}
	s.nothingLent(t, got, factor.Recoveries)
	return got
}

// nothingLent is that a server has the admin's own codes and no others.
func (s stage) nothingLent(t *testing.T, e enrolled, left int) {
	t.Helper()
	f, err := factor.ParseFile(s.exec(t, "", "cat", factor.Path("alice")))
	if err != nil {
		t.Fatal(err)
	}
	if f.Key != e.Text() || !f.Sound() || len(f.Codes) != left || strings.Join(f.Codes, " ") != strings.Join(e.Recovery[len(e.Recovery)-left:], " ") {
		t.Errorf("settings %s, %d codes, want %d; the key is the admin's: %v", f.Settings(), len(f.Codes), left, f.Key == e.Text())
	}
	if names := s.exec(t, "", "ls", "-A", factor.Dir); names != "alice\n" {
		t.Errorf("left in %s: %s", factor.Dir, names)
	}
}

// forget makes the server forget which codes it has seen, so that a test need not
// wait for the next.
func (s stage) forget(t *testing.T) {
	t.Helper()
	s.exec(t, "", "sed", "-i", "-e", `s/^" RATE_LIMIT.*/" RATE_LIMIT 3 30/`, "-e", `s/^" DISALLOW_REUSE.*/" DISALLOW_REUSE/`, factor.Path("alice"))
}

// testCodes is one code a command, whatever the command does.
func (s stage) testCodes(t *testing.T, e enrolled) {
	const asked = `Verification code \(alice\)`
	now := map[string]reader{"now": func(string) string { return e.Code(time.Now()) }}
	r := s.run(t, "audit")
	r.exits(t, exitFailed)
	s.forget(t)
	code, shown := s.reading(t, []answer{{asked, "now"}}, now, "audit", "-v")
	if code != exitOK || strings.Count(shown, "Verification code") != 1 || !strings.Contains(shown, "by code: alice") {
		t.Errorf("audit: exit status %d:\n%s", code, shown)
	}
	s.forget(t)
	s.exec(t, "", "chmod", "0666", "/etc/ssh/sshd_config.d/00-holdfast-0-factor.conf")
	code, shown = s.reading(t, []answer{{asked, "now"}}, now, "apply", "--yes")
	if code != exitOK || strings.Count(shown, "Verification code") != 1 || !strings.Contains(shown, "confirmed by new logins") {
		t.Errorf("apply: exit status %d, or more than one question:\n%s", code, shown)
	}
	s.nothingLent(t, e, factor.Recoveries)
	// What is wanted stays so: the next apply has nothing to do.
	s.forget(t)
	code, shown = s.reading(t, []answer{{asked, "now"}}, now, "plan")
	if code != exitOK {
		t.Errorf("plan: exit status %d:\n%s", code, shown)
	}
	s.forget(t)
}

// A clock that is off by more than 20 s refuses an enrolment; the half of a step
// that is left over is what codes live on.
func TestClockProblem(t *testing.T) {
	for off, bad := range map[time.Duration]bool{
		0: false, 20 * time.Second: false, -20 * time.Second: false, 21 * time.Second: true, -21 * time.Second: true, 24 * time.Hour: true,
	} {
		if err := clockProblem(off); (err != nil) != bad {
			t.Errorf("%v: %v", off, err)
		}
	}
}

// Both halves of each letter are dots, with the border that readers need.
func TestDrawQR(t *testing.T) {
	text, err := drawQR(factor.New().URI("shop", "alice"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	dots := func(line string) []rune {
		return []rune(strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[30;47m"), "\x1b[0m"))
	}
	width := len(dots(lines[0]))
	if got, want := len(lines), (width+1)/2; got != want {
		t.Errorf("%d lines for a width of %d", got, width)
	}
	for i, line := range lines {
		if row := dots(line); len(row) != width || strings.TrimSpace(string(row[:quiet])+string(row[width-quiet:])) != "" {
			t.Errorf("line %d has no border: %q", i, line)
		}
	}
	// The upper left finder pattern, ISO/IEC 18004, 6.3.3: seven black dots, then one black, five white, one black.
	if got := string(dots(lines[2])[quiet : quiet+8]); got != "█▀▀▀▀▀█ " {
		t.Errorf("the finder pattern begins %q", got)
	}
}
