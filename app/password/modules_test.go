package password_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// maxModules is how many modules a program may get for importing this package,
// with itself and the ones that only appear in its module graph.
const maxModules = 12

// A program that imports only this package inherits few modules: in its whole
// module graph, and fewer still in what is compiled into it.
func TestModulesOfAnImporter(t *testing.T) {
	app, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("main.go", "package main\n\nimport \"github.com/holdfast-security/holdfast/app/password\"\n\nfunc main() { println(password.Hasher{}.Preferred == nil) }\n")
	write("go.mod", "module example.org/importer\n\ngo 1.26.0\n\nrequire github.com/holdfast-security/holdfast/app v0.0.0\n\nreplace github.com/holdfast-security/holdfast/app => "+app+"\n")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.Output()
		if err != nil {
			if e, ok := err.(*exec.ExitError); ok {
				t.Fatalf("go %v: %s", args, e.Stderr)
			}
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	linked := map[string]bool{}
	for line := range strings.Lines(run("list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")) {
		if m := strings.TrimSpace(line); m != "" {
			linked[m] = true
		}
	}
	graph := strings.Split(run("list", "-m", "all"), "\n")
	t.Logf("%d modules compiled in, %d in the graph", len(linked), len(graph))
	if len(linked) > maxModules || len(graph) > maxModules {
		t.Errorf("compiled in: %v\nin the graph: %v", linked, graph)
	}
	if !linked["golang.org/x/crypto"] || len(graph) < len(linked) {
		t.Errorf("the count is broken: %v of %v", linked, graph)
	}
}
