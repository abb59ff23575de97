package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFile    = 450 // lines of a file that is not a test
	maxFunc    = 70  // lines of a function that is not a test
	maxMethods = 4   // methods of an interface, its embedded ones not counted
)

// tooLarge lists what is over a size and why it is clearer that way: a file's
// path, or path:function.
var tooLarge = map[string]string{
	"server/sudoers/parse.go": "one grammar, read from top to bottom",
}

// forbiddenNames are package names that say nothing.
var forbiddenNames = []string{"util", "utils", "common", "helpers", "helper", "types", "misc", "base"}

func TestSizes(t *testing.T) {
	fset, all := sources(t)
	used := map[string]bool{}
	over := func(what string, lines, limit int) {
		if lines <= limit {
			return
		}
		if _, ok := tooLarge[what]; ok {
			used[what] = true
			return
		}
		t.Errorf("%s has %d lines, the limit is %d: split it, or say in tooLarge why not", what, lines, limit)
	}
	for _, s := range all {
		if s.test {
			continue
		}
		over(s.path, fset.File(s.file.Pos()).LineCount(), maxFile)
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				over(s.path+":"+f.Name.Name, fset.Position(f.End()).Line-fset.Position(f.Pos()).Line+1, maxFunc)
			}
		}
	}
	for what := range tooLarge {
		if !used[what] {
			t.Errorf("tooLarge speaks of %s, which is within the limit", what)
		}
	}
}

func TestNames(t *testing.T) {
	_, all := sources(t)
	for _, dir := range packages(all) {
		if slices.Contains(forbiddenNames, filepath.Base(dir)) {
			t.Errorf("package %s: the name says nothing", dir)
		}
	}
	for _, s := range all {
		ast.Inspect(s.file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if ok && !s.test {
				low := strings.ToLower(id.Name)
				if strings.Contains(low, "dryrun") || strings.Contains(low, "noop") {
					t.Errorf("%s: %s: looking is a type (server.Reader), not a flag", s.path, id.Name)
				}
			}
			return true
		})
	}
}

func TestNoInit(t *testing.T) {
	_, all := sources(t)
	for _, s := range all {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init: kinds and controls are plain lists", s.path)
			}
		}
	}
}

func TestInterfacesAreSmall(t *testing.T) {
	_, all := sources(t)
	for _, s := range all {
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			i, ok := spec.Type.(*ast.InterfaceType)
			if !ok {
				return true
			}
			methods := 0
			for _, f := range i.Methods.List {
				methods += len(f.Names)
			}
			if methods > maxMethods {
				t.Errorf("%s: interface %s has %d methods, the limit is %d", s.path, spec.Name.Name, methods, maxMethods)
			}
			return true
		})
	}
}

func TestPackageComments(t *testing.T) {
	_, all := sources(t)
	comments := map[string]int{}
	for _, s := range all {
		if !s.test && s.file.Doc != nil {
			comments[s.pkg]++
		}
	}
	for _, s := range all {
		if !s.test && comments[s.pkg] != 1 {
			t.Errorf("package %s has %d package comments, it needs one", s.pkg, comments[s.pkg])
			comments[s.pkg] = 1
		}
	}
}

func TestExportedAreDocumented(t *testing.T) {
	fset, all := sources(t)
	for _, s := range all {
		if s.test {
			continue
		}
		missing := func(n ast.Node, name string) {
			t.Errorf("%s:%d: %s has no docstring", s.path, fset.Position(n.Pos()).Line, name)
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && receiverExported(d) {
					missing(d, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil {
							missing(spec, spec.Name.Name)
						}
					case *ast.ValueSpec:
						if spec.Names[0].IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
							missing(spec, spec.Names[0].Name)
						}
					}
				}
			}
		}
	}
}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// Every exported parser meets input that somebody else made.
func TestParsersAreFuzzed(t *testing.T) {
	_, all := sources(t)
	fuzzed := map[string]string{}
	for _, s := range all {
		if !s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Fuzz") {
				text, err := os.ReadFile(filepath.Join("..", "..", s.path))
				if err != nil {
					t.Fatal(err)
				}
				fuzzed[s.pkg] += string(text)
				if !strings.Contains(string(text), ".Add(") {
					t.Errorf("%s: %s has no seeds", s.path, f.Name.Name)
				}
			}
		}
	}
	for _, s := range all {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() || !strings.HasPrefix(f.Name.Name, "Parse") {
				continue
			}
			if !strings.Contains(fuzzed[s.pkg], f.Name.Name+"(") {
				t.Errorf("%s: %s is not fuzzed", s.path, f.Name.Name)
			}
		}
	}
}

// calls lists functions that only some packages may call, each with its reason.
var calls = []struct {
	pkg, name string
	may       []string
	why       string
}{
	{"exec", "Command", []string{"server/lab", "server/machine", "app/store/drivertest"}, "commands run through a Host, or with a context; a World's process is ended by its own Close"},
	{"exec", "CommandContext", []string{"server/machine", "server/lab", "server/desk", "server/site", "server/site/ask", "server/sshclient", "server/txn", "cmd/holdfast", "bench/audit", "app/store/drivertest", "app/store/drivertest/loginbench"}, "commands run through a Host; app/ starts only databases and programs that it measures"},
	{"os", "WriteFile", []string{"server/lab", "bench/audit"}, "durable writes live in internal/durable"},
	{"os", "Rename", []string{"internal/durable", "server/lab", "app/breached/build"}, "durable writes live in internal/durable"},
	{"slog", "SetDefault", nil, "loggers come in through the configuration"},
	{"slog", "Default", nil, "loggers come in through the configuration"},
}

func TestCalls(t *testing.T) {
	fset, all := sources(t)
	for _, s := range all {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, c := range calls {
				if x.Name == c.pkg && sel.Sel.Name == c.name && !slices.Contains(c.may, s.pkg) {
					t.Errorf("%s: %s.%s: %s", at(fset, s, n), c.pkg, c.name, c.why)
				}
			}
			return true
		})
	}
}

// Commands are argv: a shell would parse names and values that others chose.
func TestNoShell(t *testing.T) {
	fset, all := sources(t)
	for _, s := range all {
		if s.test || strings.HasPrefix(s.pkg, "server/lab") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for i := 1; i < len(call.Args); i++ {
				if literal(call.Args[i-1]) == `"sh"` && literal(call.Args[i]) == `"-c"` {
					t.Errorf("%s: a shell line", at(fset, s, n))
				}
			}
			return true
		})
	}
}

// Libraries say what happened, only cmd says what to do.
func TestHintsOnlyInCmd(t *testing.T) {
	fset, all := sources(t)
	for _, s := range all {
		if s.test || strings.HasPrefix(s.pkg, "cmd/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.Contains(strings.ToLower(l.Value), "hint:") {
				t.Errorf("%s: a hint outside cmd", at(fset, s, n))
			}
			return true
		})
	}
}

// A test waits for what it waits for: it may sleep inside a loop that looks
// again, never for a while that somebody found long enough.
func TestTestsDoNotSleep(t *testing.T) {
	fset, all := sources(t)
	bubbles := map[string]bool{} // packages whose tests have a clock of their own
	for _, s := range all {
		if s.test && slices.Contains(s.imports(), "testing/synctest") {
			bubbles[s.pkg] = true
		}
	}
	for _, s := range all {
		if !s.test || bubbles[s.pkg] {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.ForStmt, *ast.RangeStmt:
				return false
			}
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && sel.Sel.Name == "Sleep" {
				t.Errorf("%s: a test sleeps: wait for what it waits for", at(fset, s, n))
			}
			return true
		})
	}
}

func at(fset *token.FileSet, s source, n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, fset.Position(n.Pos()).Line)
}

func literal(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok {
		return l.Value
	}
	return ""
}
