package drivertest_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/holdfast-security/holdfast/app/sqlsafe"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

// The guide's attacks, and the signs of LIKE, on real databases: parameters stay
// parameters, and the table is as it was.
func TestSQLSafe(t *testing.T) {
	for _, kind := range drivertest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			db, err := drivertest.Require(t, kind).Fresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			safe := sqlsafe.Questions(db)
			if kind == drivertest.Postgres {
				safe = sqlsafe.Dollars(db)
			}
			run := func(q sqlsafe.Query) {
				t.Helper()
				if _, err := safe.Exec(t.Context(), q); err != nil {
					t.Fatalf("%s: %v", q, err)
				}
			}
			run(sqlsafe.New("CREATE TABLE todos (id INTEGER PRIMARY KEY, title VARCHAR(200), owner INTEGER)"))
			titles := []string{
				"plain", "50% of it", "500 of it", "under_score", "underXscore", `back\slash`, "bang!", "it's ?", "$1 and ?",
				"'; DROP TABLE todos; --", `\';select concat(email,\':\',password) from users limit 1;`, "' OR '1'='1",
			}
			for i, title := range titles {
				run(sqlsafe.New("INSERT INTO todos (id, title, owner) VALUES (?, ?, ?)", i, title, i%2))
			}
			sorts := sqlsafe.Columns{"title": "title", "id": "id"}
			filters := sqlsafe.Filters{"title": {Column: "title", Ops: []sqlsafe.Op{sqlsafe.Equal, sqlsafe.Contains}}}
			find := func(request url.Values) []int {
				t.Helper()
				where, err := filters.Where(request)
				if err != nil {
					t.Fatal(err)
				}
				order, err := sorts.OrderBy("-id")
				if err != nil {
					t.Fatal(err)
				}
				limit, err := sqlsafe.Paging{Size: 50}.Limit("", "")
				if err != nil {
					t.Fatal(err)
				}
				q := sqlsafe.Join(sqlsafe.New("SELECT id FROM todos WHERE"), sqlsafe.In("owner", 0, 1), sqlsafe.New("AND"), where, order, limit)
				rows, err := safe.Rows(t.Context(), q)
				if err != nil {
					t.Fatalf("%s: %v", q, err)
				}
				defer rows.Close()
				var ids []int
				for rows.Next() {
					var id int
					if err := rows.Scan(&id); err != nil {
						t.Fatal(err)
					}
					ids = append(ids, id)
				}
				if err := rows.Err(); err != nil {
					t.Fatal(err)
				}
				return ids
			}
			for i, title := range titles {
				if got := find(url.Values{"title": {title}}); !slices.Equal(got, []int{i}) {
					t.Errorf("%q is found as %v, want %d", title, got, i)
				}
			}
			for part, want := range map[string][]int{
				"50%": {1}, "r_s": {3}, `k\s`: {5}, "g!": {6}, "%": {1}, "_": {3}, "OR '1'": {11}, "'s ?": {7},
			} {
				if got := find(url.Values{"title.has": {part}}); !slices.Equal(got, want) {
					t.Errorf("%q is found in %v, want %v", part, got, want)
				}
			}
			var n int
			if err := safe.Row(t.Context(), sqlsafe.New("SELECT COUNT(*) FROM todos")).Scan(&n); err != nil || n != len(titles) {
				t.Errorf("%d rows, want %d: %v", n, len(titles), err)
			}
			if _, err := safe.Rows(t.Context(), sqlsafe.New("SELECT secret FROM nowhere")); err == nil {
				t.Error("a table that there is not")
			} else if text := fmt.Sprint(sqlsafe.Report(t.Context(), nil, err)); len(text) > 60 {
				t.Errorf("the user sees %q", text)
			}
		})
	}
}
