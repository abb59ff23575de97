package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// A Dialect is a kind of database. Programs use the packages sqlite, mysql and
// postgres instead.
type Dialect int

// The kinds of databases.
const (
	SQLite   Dialect = iota + 1
	MySQL            // and MariaDB
	Postgres         // PostgreSQL
)

// conn is what *sql.DB and *sql.Tx have in common.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// A Store keeps everything in one database. It may be used by many goroutines at
// a time; inside a transaction by one.
type Store struct {
	db      *sql.DB // nil inside a transaction
	conn    conn
	dialect Dialect
	// writing is held by the one that writes to SQLite, whose own waiting for a
	// lock is a poll in which the unlucky starve. It is nil elsewhere and inside a
	// transaction.
	writing chan struct{}
	// finding is the statement of FindSession, which comes with every request. It is
	// nil where the driver keeps statements itself, and inside a transaction.
	finding *kept
}

// kept is a statement that is prepared when it is first needed. It ends with the
// database.
type kept struct {
	mu   sync.Mutex
	stmt *sql.Stmt
}

func (k *kept) prepare(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stmt == nil {
		stmt, err := db.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		k.stmt = stmt
	}
	return k.stmt, nil
}

// New returns a store in an open database. The database is not touched before the
// first call of a method.
func New(db *sql.DB, d Dialect) *Store {
	s := &Store{db: db, conn: db, dialect: d}
	if d == SQLite {
		s.writing, s.finding = make(chan struct{}, 1), &kept{}
	}
	return s
}

// With returns the same store inside a transaction of the program's own, which
// the program commits or rolls back.
func (s *Store) With(tx *sql.Tx) *Store { return &Store{conn: tx, dialect: s.dialect} }

// Tx runs fn in one transaction: everything that fn does by tx happens, or, if fn
// or the commit fails, nothing of it. Inside a transaction it joins that one.
func (s *Store) Tx(ctx context.Context, fn func(tx *Store) error) error {
	if s.db == nil {
		return fn(s)
	}
	release, err := s.hold(ctx)
	if err != nil {
		return err
	}
	defer release()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	defer tx.Rollback() // has no effect after a commit
	if err := fn(s.With(tx)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing a transaction: %w", err)
	}
	return nil
}

// exec runs a statement of constant text with ? for parameters and returns how
// many rows it changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int, error) {
	release, err := s.hold(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	r, err := s.conn.ExecContext(ctx, s.placeholders(query), args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// execLightly is exec for what may be lost in a power cut, such as the count of an
// attempt: SQLite does not wait for the disk. Other databases wait for several
// commits at a time and need no such care.
func (s *Store) execLightly(ctx context.Context, query string, args ...any) (n int, err error) {
	if s.dialect != SQLite || s.db == nil {
		return s.exec(ctx, query, args...)
	}
	release, err := s.hold(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	c, err := s.db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, "PRAGMA synchronous = NORMAL"); err != nil {
		return 0, err
	}
	defer func() {
		// A connection that cannot be set back is given up, with its own error.
		_, back := c.ExecContext(context.WithoutCancel(ctx), "PRAGMA synchronous = FULL")
		if back != nil {
			c.Raw(func(any) error { return driver.ErrBadConn })
		}
	}()
	return (&Store{conn: c, dialect: s.dialect}).exec(ctx, query, args...)
}

// hold waits until nobody else in this program writes.
func (s *Store) hold(ctx context.Context) (release func(), err error) {
	if s.writing == nil {
		return func() {}, nil
	}
	select {
	case s.writing <- struct{}{}:
		return func() { <-s.writing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Store) row(ctx context.Context, query string, args ...any) *sql.Row {
	return s.conn.QueryRowContext(ctx, s.placeholders(query), args...)
}

// execute is exec or execLightly.
type execute func(ctx context.Context, query string, args ...any) (int, error)

// insert runs an INSERT and reports whether it added a row. A row that is in the
// way is no error; exists is a query that finds it.
func (s *Store) insert(ctx context.Context, exec execute, insert string, args []any, exists string, keys ...any) (bool, error) {
	if s.dialect != MySQL {
		n, err := exec(ctx, insert+" ON CONFLICT DO NOTHING", args...)
		return n == 1, err
	}
	// MySQL's INSERT IGNORE would cut what is too long, and tell nobody.
	_, err := exec(ctx, insert, args...)
	if err == nil {
		return true, nil
	}
	var found int
	// Sees what others have committed since this transaction began.
	if s.row(ctx, exists+" LOCK IN SHARE MODE", keys...).Scan(&found) == nil {
		return false, nil
	}
	return false, err
}

// placeholders writes ? as the database wants it. No statement of this package
// has a ? in it that is none.
func (s *Store) placeholders(query string) string {
	if s.dialect != Postgres {
		return query
	}
	var b strings.Builder
	for n := 1; ; n++ {
		head, tail, ok := strings.Cut(query, "?")
		b.WriteString(head)
		if !ok {
			return b.String()
		}
		b.WriteString("$" + strconv.Itoa(n))
		query = tail
	}
}

// tooLong is checked here and not left to the database, which may be configured
// to cut.
func tooLong(what, value string, limit int) error {
	if len(value) > limit {
		return fmt.Errorf("%s of %d bytes, the limit is %d", what, len(value), limit)
	}
	return nil
}

func absent(err error) bool { return errors.Is(err, sql.ErrNoRows) }
