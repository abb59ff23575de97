package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

//go:embed schema/*.sql
var schemas embed.FS

// ErrSchema says that the schema of a database is not the one that this program
// knows.
var ErrSchema = errors.New("schema of another version")

// steps returns the statements of each version, the first at index 0.
func (d Dialect) steps() ([][]string, error) {
	name := map[Dialect]string{SQLite: "sqlite", MySQL: "mysql", Postgres: "postgres"}[d]
	text, err := schemas.ReadFile("schema/" + name + ".sql")
	if err != nil {
		return nil, err
	}
	var all [][]string
	for _, part := range strings.Split("\n"+string(text), "\n-- ")[1:] {
		number, body, _ := strings.Cut(part, "\n")
		if n, err := strconv.Atoi(number); err != nil || n != len(all)+1 {
			return nil, fmt.Errorf("schema/%s.sql: version %q after %d", name, number, len(all))
		}
		var statements []string
		for statement := range strings.SplitSeq(body, ";\n") {
			if strings.TrimSpace(statement) != "" {
				statements = append(statements, statement)
			}
		}
		all = append(all, statements)
	}
	return all, nil
}

// Migrate creates the tables, or brings them from an older version to this one.
// It may be run by several processes at a time and again after any error. It
// fails with [ErrSchema] if the schema is newer than the program.
func (s *Store) Migrate(ctx context.Context) error {
	steps, err := s.dialect.steps()
	if err != nil {
		return err
	}
	switch {
	case s.db == nil:
		return errors.New("migrating inside a transaction")
	case s.dialect == MySQL:
		return s.migrateLocked(ctx, steps)
	}
	return s.Tx(ctx, func(tx *Store) error {
		if s.dialect == Postgres {
			if _, err := tx.exec(ctx, "SELECT pg_advisory_xact_lock(5201314000)"); err != nil {
				return fmt.Errorf("locking the schema: %w", err)
			}
		}
		return tx.migrate(ctx, steps)
	})
}

// migrateLocked works without a transaction, since MySQL commits each change of a
// table at once: the statements of a version may be run again.
func (s *Store) migrateLocked(ctx context.Context, steps [][]string) error {
	c, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer c.Close()
	var got sql.NullInt64
	if err := c.QueryRowContext(ctx, "SELECT GET_LOCK('holdfast_schema', 60)").Scan(&got); err != nil || got.Int64 != 1 {
		return fmt.Errorf("locking the schema: %w", errors.Join(err, errors.New("another process holds it")))
	}
	defer c.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK('holdfast_schema')")
	return (&Store{conn: c, dialect: s.dialect}).migrate(ctx, steps)
}

func (s *Store) migrate(ctx context.Context, steps [][]string) error {
	if _, err := s.exec(ctx, "CREATE TABLE IF NOT EXISTS holdfast_schema (version BIGINT NOT NULL PRIMARY KEY)"); err != nil {
		return fmt.Errorf("creating the table of versions: %w", err)
	}
	have, err := s.version(ctx)
	if err != nil {
		return err
	}
	if have > len(steps) {
		return fmt.Errorf("the database has %d, the program knows %d: %w", have, len(steps), ErrSchema)
	}
	for i := have; i < len(steps); i++ {
		for _, statement := range steps[i] {
			if _, err := s.exec(ctx, statement); err != nil {
				return fmt.Errorf("schema version %d: %w", i+1, err)
			}
		}
		if _, err := s.exec(ctx, "INSERT INTO holdfast_schema (version) VALUES (?)", i+1); err != nil {
			return fmt.Errorf("schema version %d: %w", i+1, err)
		}
	}
	return nil
}

// Ready reports whether the schema is the one that this program knows, as an error
// wrapping [ErrSchema] if not. It needs no rights but to read.
func (s *Store) Ready(ctx context.Context) error {
	steps, err := s.dialect.steps()
	if err != nil {
		return err
	}
	have, err := s.version(ctx)
	if err != nil {
		return err
	}
	if have != len(steps) {
		return fmt.Errorf("the database has %d, the program needs %d: %w", have, len(steps), ErrSchema)
	}
	return nil
}

func (s *Store) version(ctx context.Context) (int, error) {
	var v int
	if err := s.row(ctx, "SELECT COALESCE(MAX(version), 0) FROM holdfast_schema").Scan(&v); err != nil {
		return 0, fmt.Errorf("reading the schema's version: %w", err)
	}
	return v, nil
}
