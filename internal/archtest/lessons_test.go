package archtest

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// lesson is a row of docs/lessons.md: its third column names a test.
var lesson = regexp.MustCompile("^\\|[^|]*\\|[^|]*\\| `([a-z/]+): (Test[A-Za-z]+)(?:/([^`]+))?` \\|[^|]+\\|$")

// Every lesson that we say to have learned has its test.
func TestLessonsHaveTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "lessons.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, words := testNames(t)
	rows := 0
	_, table, _ := strings.Cut(string(text), "\n| --- |")
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue // the rest of the table's head, and the end
		}
		m := lesson.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("a row names no test: %s", line)
			continue
		}
		rows++
		if pkg, test, name := m[1], m[2], m[3]; !tests[pkg+" "+test] {
			t.Errorf("%s has no %s", pkg, test)
		} else if name != "" && !words[pkg+" "+name] {
			t.Errorf("%s: %s has no case %q", pkg, test, name)
		}
	}
	if rows < 15 {
		t.Errorf("only %d lessons were read: the table or its reader is broken", rows)
	}
}

// testNames returns the test functions, and the text of string literals in test
// files, which is what cases are named by; each after its package and a space.
func testNames(t *testing.T) (tests, words map[string]bool) {
	tests, words = map[string]bool{}, map[string]bool{}
	_, all := sources(t)
	for _, s := range all {
		if !s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil {
					tests[s.pkg+" "+n.Name.Name] = true
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					words[s.pkg+" "+text] = true
				}
			}
			return true
		})
	}
	return tests, words
}
