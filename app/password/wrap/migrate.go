package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"

	"github.com/holdfast-security/holdfast/app/password"
)

// A dialect is how a database writes names and parameters.
type dialect int

const (
	sqlite dialect = iota
	postgres
	mysql
)

// A table is what to migrate, and how.
type table struct {
	dialect        dialect
	name, id, hash string
	batch          int
	write          bool
}

type counts struct {
	schemes map[string]int // rows by scheme, of those that are wrapped: the inner one
	unread  map[string]int // rows by what is wrong with their hashes
	wrapped int
	left    int // strong already, or wrapped
	none    int // NULL or empty
	changed int // by somebody else between reading and writing
}

var name = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// sql writes a query of this program: %T, %I and %H are the table and its columns,
// and each ? a parameter. Names cannot be parameters; they come from the operator,
// are letters and digits, and are quoted.
func (t table) sql(text string) string {
	quote := `"`
	if t.dialect == mysql {
		quote = "`"
	}
	q := func(s string) string { return quote + strings.ReplaceAll(s, ".", quote+"."+quote) + quote }
	text = strings.NewReplacer("%T", q(t.name), "%I", q(t.id), "%H", q(t.hash)).Replace(text)
	if t.dialect == mysql {
		// Its usual collations do not tell letter cases apart.
		text = strings.ReplaceAll(text, "AND "+q(t.hash), "AND BINARY "+q(t.hash))
	}
	if t.dialect != postgres {
		return text
	}
	parts := strings.Split(text, "?")
	for i := range parts[1:] {
		parts[i] += fmt.Sprintf("$%d", i+1)
	}
	return strings.Join(parts, "")
}

// A row is a user; the id is of whatever type the driver gives.
type row struct {
	id     any
	stored string
	young  string // what is to be stored, if it is to be changed
}

// migrate goes through the table in the order of its key. What it returns counts
// what is done, also beside an error.
func migrate(ctx context.Context, db *sql.DB, h *password.Hasher, t table) (counts, error) {
	c := counts{schemes: map[string]int{}, unread: map[string]int{}}
	for _, n := range []string{t.name, t.id, t.hash} {
		if !name.MatchString(n) {
			return c, fmt.Errorf("%q is no name of letters, digits and underscores", n)
		}
	}
	if t.batch < 1 {
		return c, fmt.Errorf("a batch of %d rows", t.batch)
	}
	if err := h.Check(); err != nil {
		return c, err
	}
	var last any
	for {
		rows, err := t.read(ctx, db, last)
		if err != nil || len(rows) == 0 {
			return c, errors.Join(err, t.finish(ctx, db, c, err))
		}
		last = rows[len(rows)-1].id
		if err := t.wrap(ctx, h, rows, &c); err != nil {
			return c, err
		}
		done, changed, err := t.save(ctx, db, rows)
		if err != nil {
			return c, err
		}
		c.wrapped += done
		c.changed += changed
	}
}

func (t table) read(ctx context.Context, db *sql.DB, last any) ([]row, error) {
	query, args := "SELECT %I, COALESCE(%H, '') FROM %T ORDER BY %I LIMIT ?", []any{t.batch}
	if last != nil {
		query, args = "SELECT %I, COALESCE(%H, '') FROM %T WHERE %I > ? ORDER BY %I LIMIT ?", []any{last, t.batch}
	}
	result, err := db.QueryContext(ctx, t.sql(query), args...)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	var rows []row
	for result.Next() {
		var r row
		if err := result.Scan(&r.id, &r.stored); err != nil {
			return nil, err
		}
		if b, ok := r.id.([]byte); ok {
			r.id = string(b)
		}
		rows = append(rows, r)
	}
	return rows, result.Err()
}

// wrap hashes the rows that need it, as many at a time as there are processors.
func (t table) wrap(ctx context.Context, h *password.Hasher, rows []row, c *counts) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	places := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range rows {
		r := &rows[i]
		if strings.TrimSpace(r.stored) == "" {
			c.none++
			continue
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			young, changed, err := h.Wrap(ctx, r.stored)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case reason(err) != "":
				c.unread[reason(err)]++
			case err != nil:
				failed = err
			case !changed:
				c.left++
				c.schemes[h.SchemeOf(r.stored)]++
			default:
				c.schemes[h.SchemeOf(r.stored)]++
				r.young = young
			}
		})
	}
	wg.Wait()
	return failed
}

// reason says in a word why a hash cannot be read; "" if it is no such error.
func reason(err error) string {
	for _, known := range []error{password.ErrUnknownScheme, password.ErrMalformed, password.ErrTooCostly, password.ErrUnknownKey} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return ""
}

// save replaces what still is what was read, in one transaction, and reads it back.
func (t table) save(ctx context.Context, db *sql.DB, rows []row) (done, changed int, err error) {
	if !t.write {
		for _, r := range rows {
			if r.young != "" {
				done++
			}
		}
		return done, 0, nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	defer tx.Rollback() // after Commit it does nothing
	for _, r := range rows {
		if r.young == "" {
			continue
		}
		result, err := tx.ExecContext(ctx, t.sql("UPDATE %T SET %H = ? WHERE %I = ? AND %H = ?"), r.young, r.id, r.stored)
		if err != nil {
			return 0, 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, 0, err
		}
		if n == 0 {
			changed++
			continue
		}
		var back string
		if err := tx.QueryRowContext(ctx, t.sql("SELECT %H FROM %T WHERE %I = ?"), r.id).Scan(&back); err != nil {
			return 0, 0, err
		}
		if n != 1 || back != r.young {
			return 0, 0, fmt.Errorf("the hash of %v does not come back as it was written: %d rows, %d letters of %d; is the column too narrow, or its key not unique?", r.id, n, len(back), len(r.young))
		}
		done++
	}
	return done, changed, tx.Commit()
}

// finish writes a SQLite file anew, so that no free page keeps an old hash.
func (t table) finish(ctx context.Context, db *sql.DB, c counts, failed error) error {
	if failed != nil || !t.write || c.wrapped == 0 || t.dialect != sqlite {
		return nil
	}
	for _, statement := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("all rows are wrapped, but free pages keep old hashes: %w", err)
		}
	}
	return nil
}
