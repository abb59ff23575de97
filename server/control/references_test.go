package control_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/control"
)

// identifiers are the numbers that are confirmed for each benchmark and version.
func identifiers(t *testing.T) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob("testdata/identifiers/*.txt")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files of identifiers, %v", len(files), err)
	}
	all := map[string]map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		numbers := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			number, about, ok := strings.Cut(strings.TrimSpace(line), "\t")
			if strings.HasPrefix(line, "#") {
				continue
			}
			if !ok || about == "" || numbers[number] {
				t.Errorf("%s: %q", f, line)
			}
			numbers[number] = true
		}
		all[strings.TrimSuffix(filepath.Base(f), ".txt")] = numbers
	}
	return all
}

// No number is one that its benchmark does not have in that version.
func TestNumbersAreConfirmed(t *testing.T) {
	known := identifiers(t)
	for _, c := range control.All() {
		for _, r := range c.References {
			name := r.Benchmark + " " + r.Version
			if known[name] == nil {
				t.Errorf("%s: there is no file of identifiers for %s", c.ID, name)
			} else if !known[name][r.Number] {
				t.Errorf("%s: %s has no %s that is confirmed", c.ID, name, r.Number)
			}
		}
	}
}

// CIS and the STIG do not ask for keys without passwords, so nothing says so.
func TestNoNumberIsBorrowed(t *testing.T) {
	for _, c := range control.All() {
		for _, r := range c.References {
			if c.ID == "ssh-keys-only" && (r.Number == "5.1.4" || r.Number == "UBTU-24-400030") || c.ID == "daily-audit" {
				t.Errorf("%s borrows %v", c.ID, r)
			}
		}
	}
}
