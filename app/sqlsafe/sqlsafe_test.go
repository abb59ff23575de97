package sqlsafe_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/sqlsafe"
)

// A built string does not compile: each of these lines is an error of the
// compiler, and the ones before them are not.
func TestBuiltStringsDoNotCompile(t *testing.T) {
	const good = `
	const table = "todos"
	_ = sqlsafe.New("SELECT 1")
	_ = sqlsafe.New("SELECT * FROM " + table + " WHERE name = ?", request)
	_ = sqlsafe.Columns{"name": "u.name"}
	_ = sqlsafe.Filters{"name": {Column: "u.name"}}
	_ = sqlsafe.In("id", 1, 2)
`
	bad := []string{
		`sqlsafe.New(request)`,
		`sqlsafe.New("SELECT * FROM todos WHERE name = '" + request + "'")`,
		`sqlsafe.New(fmt.Sprintf("SELECT %s", request))`,
		`sqlsafe.New(strings.ToUpper("select 1"))`,
		`sqlsafe.New(typed)`,
		`sqlsafe.New([]string{"SELECT 1"}[0])`,
		`sqlsafe.New(sqlsafe.constant(request))`,
		`sqlsafe.New(named(request))`,
		`sqlsafe.Columns{"name": request}`,
		`sqlsafe.Columns(map[string]string{"name": request})`,
		`sqlsafe.Filters{"name": {Column: request}}`,
		`sqlsafe.In(request, 1)`,
		`sqlsafe.Query{parts: []string{request}}`,
		`db.Exec(nil, request)`,
		`db.Rows(nil, "SELECT 1")`,
	}
	app, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	compile := func(lines []string) string {
		dir := t.TempDir()
		program := "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"strings\"\n\n\t\"github.com/holdfast-security/holdfast/app/sqlsafe\"\n)\n\nconst typed string = \"SELECT 1\"\n\ntype named string\n\nfunc main() {\n\trequest := os.Args[0]\n\tvar db sqlsafe.DB\n\tfmt.Print(strings.ToLower(request), db)\n" +
			good + "\n"
		first := strings.Count(program, "\n") + 1
		for _, l := range lines {
			program += "\t_ = " + l + "\n"
		}
		program += "}\n"
		for name, text := range map[string]string{
			"main.go": program,
			"go.mod":  "module example.org/x\n\ngo 1.26.0\n\nrequire github.com/holdfast-security/holdfast/app v0.0.0\n\nreplace github.com/holdfast-security/holdfast/app => " + app + "\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", "-o", os.DevNull, ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		if (err != nil) != (len(lines) > 0) {
			t.Fatalf("%v\n%s", err, out)
		}
		var missing []string
		for i, l := range lines {
			if !strings.Contains(string(out), fmt.Sprintf("main.go:%d:", first+i)) {
				missing = append(missing, l)
			}
		}
		if len(missing) > 0 {
			t.Errorf("these compile:\n%s\n%s", strings.Join(missing, "\n"), out)
		}
		return string(out)
	}
	compile(nil)
	out := compile(bad)
	if !strings.Contains(out, "(variable of type string) as sqlsafe.constant value") {
		t.Errorf("the compiler does not say why:\n%s", out)
	}
}

func TestQuery(t *testing.T) {
	for _, c := range []struct {
		q             sqlsafe.Query
		sql, numbered string
		args          int
	}{
		{sqlsafe.Query{}, "", "", 0},
		{sqlsafe.New("SELECT 1"), "SELECT 1", "SELECT 1", 0},
		{sqlsafe.New("a = ? AND b = ?", 1, 2), "a = ? AND b = ?", "a = $1 AND b = $2", 2},
		{sqlsafe.New("a = '?' AND b = ?", 1), "a = '?' AND b = ?", "a = '?' AND b = $1", 1},
		{sqlsafe.New("a = 'it''s ?' AND `?` = \"?\" -- ?\n AND /* ? */ b = ?", 1), "a = 'it''s ?' AND `?` = \"?\" -- ?\n AND /* ? */ b = ?", "a = 'it''s ?' AND `?` = \"?\" -- ?\n AND /* ? */ b = $1", 1},
		{sqlsafe.New("tags ?? ?", "x"), "tags ? ?", "tags ? $1", 1},
		{sqlsafe.New("open 'quote ?"), "open 'quote ?", "open 'quote ?", 0},
		{sqlsafe.Join(sqlsafe.New("a = ?", 1), sqlsafe.Query{}, sqlsafe.New("AND"), sqlsafe.New("b = ?", 2)), "a = ? AND b = ?", "a = $1 AND b = $2", 2},
		{sqlsafe.In("id", 1, 2, 3), "id IN (?, ?, ?)", "id IN ($1, $2, $3)", 3},
		{sqlsafe.In[int]("id"), "1 = 0", "1 = 0", 0},
	} {
		if c.q.SQL() != c.sql || c.q.Numbered() != c.numbered || len(c.q.Args()) != c.args {
			t.Errorf("%q, %q, %v; want %q, %q", c.q.SQL(), c.q.Numbered(), c.q.Args(), c.sql, c.numbered)
		}
	}
	a := sqlsafe.New("a = ?", 1)
	before := a.SQL()
	sqlsafe.Join(a, sqlsafe.New("b"))
	sqlsafe.Join(a, sqlsafe.New("c = ?", 2))
	if a.SQL() != before || len(a.Args()) != 1 {
		t.Error("Join changes what it joins")
	}
	defer func() {
		if recover() == nil {
			t.Error("a missing argument does not panic")
		}
	}()
	sqlsafe.New("a = ?")
}

var columns = sqlsafe.Columns{"name": "u.name", "created": "t.created_at"}

func TestOrderBy(t *testing.T) {
	for choice, want := range map[string]string{
		"": "", "name": "ORDER BY u.name ASC", "-created,name": "ORDER BY t.created_at DESC, u.name ASC",
	} {
		if q, err := columns.OrderBy(choice); err != nil || q.SQL() != want {
			t.Errorf("%q: %q, %v", choice, q.SQL(), err)
		}
	}
	for _, bad := range attacks {
		if q, err := columns.OrderBy(bad); !errors.Is(err, sqlsafe.ErrRequest) || !q.Empty() || strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %q, %v", bad, q.SQL(), err)
		}
	}
}

// The guide's own examples are among them.
var attacks = []string{
	"users.password ddd", "password", "name desc", "name;drop table users", "u.name", "NAME", "name,name", "-", "--name", ",", "name,", "name\x00",
	"(select 1 from (select count(*), concat(email,':',password) from users limit 1) as x)", "1", "name--", "name/**/", "`name`", "name'",
}

func FuzzOrderBy(f *testing.F) {
	for _, a := range attacks {
		f.Add(a)
	}
	f.Add("-created,name")
	f.Fuzz(func(t *testing.T, choice string) {
		q, err := columns.OrderBy(choice)
		if err != nil {
			return
		}
		rest := strings.NewReplacer("ORDER BY", "", "u.name", "", "t.created_at", "", "ASC", "", "DESC", "", ",", "", " ", "").Replace(q.SQL())
		if rest != "" {
			t.Errorf("%q gives %q", choice, q.SQL())
		}
	})
}

func TestWhere(t *testing.T) {
	filters := sqlsafe.Filters{
		"status": {Column: "t.status"},
		"due":    {Column: "t.due", Ops: []sqlsafe.Op{sqlsafe.Less, sqlsafe.More}, Parse: sqlsafe.ParseDay},
		"title":  {Column: "t.title", Ops: []sqlsafe.Op{sqlsafe.Contains}},
		"n":      {Column: "t.n", Ops: []sqlsafe.Op{sqlsafe.Equal, sqlsafe.Not, sqlsafe.Contains}, Parse: sqlsafe.ParseInt},
	}
	for request, want := range map[string]string{
		"":                         "",
		"page=2&sort=x":            "",
		"status=open' OR 1=1":      "t.status = ? [open' OR 1=1]",
		"title.has=50%25_!":        "t.title LIKE ? ESCAPE '!' [%50!%!_!!%]",
		"n.not=3&status=open":      "t.n <> ? AND t.status = ? [3 open]",
		"due.before=2026-11-24":    "t.due < ? [2026-11-24 00:00:00 +0000 UTC]",
		"n=3&n=4":                  "t.n = ? AND t.n = ? [3 4]",
		"status.not=x":             "error",
		"title=x":                  "error",
		"due.before=tomorrow":      "error",
		"n=1%20or%201=1":           "error",
		"n.has=3":                  "error",
		"status.=x":                "error",
		"status.is' OR 1=1 --=x":   "error",
		"title.has; DROP TABLE t=": "error",
	} {
		values, err := url.ParseQuery(strings.ReplaceAll(request, ";", "%3B"))
		if err != nil {
			t.Fatal(err)
		}
		q, err := filters.Where(values)
		got := q.SQL()
		if len(q.Args()) > 0 {
			got += fmt.Sprint(" ", q.Args())
		}
		if err != nil {
			got = "error"
			if !errors.Is(err, sqlsafe.ErrRequest) {
				t.Errorf("%s: %v", request, err)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"", ""}: "[20 0]", {"3", ""}: "[20 40]", {"2", "50"}: "[50 50]", {"1000", "100"}: "[100 99900]",
		{"0", ""}: "error", {"-1", ""}: "error", {"1001", ""}: "error", {"1", "101"}: "error", {"1 UNION", ""}: "error", {"1", "1e9"}: "error",
	} {
		q, err := (sqlsafe.Paging{}).Limit(in[0], in[1])
		got := fmt.Sprint(q.Args())
		if err != nil {
			got = "error"
		} else if q.SQL() != "LIMIT ? OFFSET ?" {
			t.Errorf("%v: %s", in, q.SQL())
		}
		if got != want {
			t.Errorf("%v: %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestReport(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&b, nil))
	cause := errors.New(`duplicate entry "ann@shop.test" for key users.email`)
	err := sqlsafe.Report(t.Context(), log, cause)
	var i *sqlsafe.Incident
	if !errors.As(err, &i) || errors.Is(err, cause) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "ann") {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(b.String(), i.ID) || !strings.Contains(b.String(), "ann@shop.test") {
		t.Errorf("log: %s", b.String())
	}
	if again := sqlsafe.Report(t.Context(), log, fmt.Errorf("insert ann: %w", err)); again != err || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("reported twice: %v", again)
	}
	if got := sqlsafe.Report(t.Context(), nil, sqlsafe.ErrRequest); !errors.Is(got, sqlsafe.ErrRequest) {
		t.Errorf("%v", got)
	}
	if sqlsafe.Report(t.Context(), log, nil) != nil {
		t.Error("no error is reported")
	}
}

func Example() {
	sorts := sqlsafe.Columns{"title": "t.title", "due": "t.due"}
	filters := sqlsafe.Filters{"done": {Column: "t.done", Parse: sqlsafe.ParseInt}}
	request, _ := url.ParseQuery("sort=-due&done=0&page=2")

	where, err := filters.Where(request)
	if err != nil {
		panic(err) // 400
	}
	order, err := sorts.OrderBy(request.Get("sort"))
	if err != nil {
		panic(err)
	}
	limit, err := sqlsafe.Paging{}.Limit(request.Get("page"), "")
	if err != nil {
		panic(err)
	}
	q := sqlsafe.Join(sqlsafe.New("SELECT t.id, t.title FROM todos t WHERE t.owner = ?", 7))
	if !where.Empty() {
		q = sqlsafe.Join(q, sqlsafe.New("AND"), where)
	}
	q = sqlsafe.Join(q, order, limit)
	fmt.Println(q.SQL())
	fmt.Println(q.Numbered())
	fmt.Println(q.Args())

	_, err = sorts.OrderBy("users.password ddd")
	fmt.Println(err)
	// Output:
	// SELECT t.id, t.title FROM todos t WHERE t.owner = ? AND t.done = ? ORDER BY t.due DESC LIMIT ? OFFSET ?
	// SELECT t.id, t.title FROM todos t WHERE t.owner = $1 AND t.done = $2 ORDER BY t.due DESC LIMIT $3 OFFSET $4
	// [7 0 20 20]
	// sort: a column that is unknown or named twice: bad request
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "1", "-3", "1 or 1=1", "2026-11-24", "2026-13-40", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := sqlsafe.ParseInt(s); err == nil {
			if _, ok := v.(int64); !ok {
				t.Errorf("%q is %T", s, v)
			}
		}
		if v, err := sqlsafe.ParseDay(s); err == nil {
			if got := v.(interface{ Format(string) string }).Format("2006-01-02"); got != s {
				t.Errorf("%q is %s", s, got)
			}
		}
	})
}
