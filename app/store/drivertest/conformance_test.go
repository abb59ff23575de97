package drivertest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/login/logintest"
	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
	"github.com/holdfast-security/holdfast/app/store/storetest"
)

// One server of each kind serves everything that is tried on it.
func TestDatabases(t *testing.T) {
	for _, kind := range drivertest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := drivertest.Require(t, kind)
			storetest.Run(t, func(t *testing.T) *store.Store { return drivertest.Store(t, server) })
			t.Run("login", func(t *testing.T) {
				logintest.Run(t, func(t *testing.T) func() storetest.Store {
					db, err := server.Fresh(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { db.Close() })
					connect := func() storetest.Store { return store.New(db, server.Kind.Dialect()) }
					if err := store.New(db, server.Kind.Dialect()).Migrate(t.Context()); err != nil {
						t.Fatal(err)
					}
					return connect
				})
			})
			t.Run("migrations", func(t *testing.T) { migrations(t, server) })
			t.Run("a program's own transaction", func(t *testing.T) { ownTransaction(t, server) })
		})
	}
}

// Many processes start at once; one creates the tables.
func migrations(t *testing.T, server *drivertest.Server) {
	ctx := t.Context()
	db, err := server.Fresh(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := store.New(db, server.Kind.Dialect())
	if err := s.Ready(ctx); err == nil {
		t.Error("an empty database is ready")
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := s.Migrate(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := s.Ready(ctx); err != nil {
		t.Error(err)
	}
	if _, err := db.ExecContext(ctx, "INSERT INTO holdfast_schema (version) VALUES (1000)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(ctx); !errors.Is(err, store.ErrSchema) {
		t.Errorf("a newer schema is ready: %v", err)
	}
	if err := s.Migrate(ctx); !errors.Is(err, store.ErrSchema) {
		t.Errorf("a newer schema is migrated: %v", err)
	}
}

func ownTransaction(t *testing.T, server *drivertest.Server) {
	ctx := t.Context()
	db, err := server.Fresh(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := store.New(db, server.Kind.Dialect())
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE todos (owner VARCHAR(64))"); err != nil {
		t.Fatal(err)
	}
	both := func(commit bool) {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := s.With(tx).AddAccount(ctx, login.Account{Key: "anna", ID: "anna"}); err != nil {
			t.Error(err)
		}
		// A transaction inside joins the one around it.
		err = s.With(tx).Tx(ctx, func(in *store.Store) error { return in.SetPassword(ctx, "anna", "x") })
		if err != nil {
			t.Error(err)
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO todos (owner) VALUES ('anna')"); err != nil {
			t.Error(err)
		}
		if commit {
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		}
	}
	count := func(ctx context.Context) (n int) {
		if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM todos").Scan(&n); err != nil {
			t.Error(err)
		}
		return n
	}
	both(false)
	if _, err := s.FindAccount(ctx, "anna"); !errors.Is(err, login.ErrNoAccount) || count(ctx) != 0 {
		t.Errorf("after a rollback: %v, %d todos", err, count(ctx))
	}
	both(true)
	if a, err := s.FindAccount(ctx, "anna"); err != nil || a.Epoch != 1 || count(ctx) != 1 {
		t.Errorf("after a commit: %+v, %v, %d todos", a, err, count(ctx))
	}
}
