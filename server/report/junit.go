package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// The elements of JUnit's XML as Jenkins, GitLab and GitHub's actions read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Hostname  string      `xml:"hostname,attr"`
		Timestamp string      `xml:"timestamp,attr,omitempty"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitProblem `xml:"failure,omitempty"`
		Error   *junitProblem `xml:"error,omitempty"`
		Skipped *junitProblem `xml:"skipped,omitempty"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes a report as JUnit's XML: each server is a suite and each control
// a test. A control that fails is a failure, one that could not be told is an
// error, and one that is excepted was skipped. A server that could not be audited
// is a suite with one error.
func JUnit(w io.Writer, r Report) error {
	all := junitSuites{Name: "holdfast " + r.Site}
	for _, s := range r.Servers {
		suite := junitSuite{Name: s.Name, Hostname: s.Name}
		if !s.At.IsZero() {
			suite.Timestamp = s.At.UTC().Format(time.RFC3339)
		}
		for _, one := range s.Results {
			suite.Cases = append(suite.Cases, junitTest(s.Name, one))
		}
		if s.Error != "" {
			suite.Cases = append(suite.Cases, junitCase{
				Class: s.Name, Name: "audit", Error: &junitProblem{Message: "the server could not be audited", Text: s.Error},
			})
		}
		for _, c := range suite.Cases {
			suite.Tests++
			switch {
			case c.Failure != nil:
				suite.Failures++
			case c.Error != nil:
				suite.Errors++
			case c.Skipped != nil:
				suite.Skipped++
			}
		}
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Errors += suite.Errors
		all.Skipped += suite.Skipped
		all.Suites = append(all.Suites, suite)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitTest(name string, r server.Result) junitCase {
	section := r.Guide
	if section == "" {
		section = "beyond"
	}
	// Readers cut class names at dots.
	c := junitCase{Class: name + "." + strings.ReplaceAll(section, ".", "_"), Name: r.Control + ": " + r.Title}
	problem := &junitProblem{Message: firstProblem(r), Type: string(r.Severity), Text: findingsText(r.Findings, false)}
	switch r.Verdict {
	case server.Pass:
		c.Out = findingsText(r.Findings, true)
	case server.Fail:
		c.Failure = problem
	case server.Excepted:
		c.Skipped = &junitProblem{Message: "excepted " + exceptionText(r), Text: problem.Text}
	default:
		c.Error = problem
	}
	return c
}

// firstProblem is one line about what is wrong.
func firstProblem(r server.Result) string {
	var all []string
	for _, f := range r.Findings {
		if f.Verdict != server.Pass {
			all = append(all, f.What)
		}
	}
	switch len(all) {
	case 0:
		return r.Title
	case 1:
		return statement(r.Verdict, all[0])
	}
	return fmt.Sprintf("%s; and %d more", statement(r.Verdict, all[0]), len(all)-1)
}

// statement turns what was claimed into what was found.
func statement(v server.Verdict, what string) string {
	switch v {
	case server.Fail:
		return "does not hold: " + what
	case server.Unknown:
		return "could not be told: " + what
	}
	return what
}

// findingsText is findings as plain text.
func findingsText(all []server.Finding, passed bool) string {
	var b strings.Builder
	for _, f := range all {
		if f.Verdict == server.Pass && !passed {
			continue
		}
		sign, _ := mark(f.Verdict)
		fmt.Fprintf(&b, "%s %s\n%s", sign, f.What, indent(f.Evidence, "    "))
		if f.Command != "" {
			fmt.Fprintf(&b, "%s", indent("$ "+f.Command, "    "))
		}
	}
	return b.String()
}
