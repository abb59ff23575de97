package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

func hasher() *password.Hasher {
	return &password.Hasher{Preferred: password.Argon2id{Memory: 64, Time: 1, InsecureWeak: true}, Legacy: password.Legacy()}
}

func hexMD5(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

// digest computes what a scheme of ours that makes no hashes would store.
func digest(t *testing.T, id, settings, pw string) string {
	t.Helper()
	for _, v := range password.Legacy() {
		if w, ok := v.(password.Wrappable); ok && w.ID() == id {
			d, err := w.Digest(settings, pw)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	t.Fatalf("no scheme %s", id)
	return ""
}

// legacyHash returns the hash of user i's password in one of several schemes, and
// the text of it that a thief is after.
func legacyHash(t *testing.T, i int, pw string) (stored, secret string) {
	salt := fmt.Sprintf("salt%04d", i)
	switch i % 8 {
	default: // half of them plain MD5
		return hexMD5(pw), hexMD5(pw)
	case 1:
		return "md5$" + salt + "$" + hexMD5(salt+pw), hexMD5(salt + pw)
	case 3:
		sum := sha1.Sum([]byte(pw + salt))
		text := base64.StdEncoding.EncodeToString(append(sum[:], salt...))
		return "{SSHA}" + text, text
	case 5:
		return hexMD5(pw+salt) + ":" + salt, hexMD5(pw + salt)
	case 7:
		d := digest(t, "crypt-sha512", "rounds=1000$"+salt, pw)
		return "$6$rounds=1000$" + salt + "$" + d, d
	}
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func dump(t *testing.T, db *sql.DB) map[int]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT id, COALESCE(password, 'NULL') FROM users")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[int]string{}
	for rows.Next() {
		var id int
		var stored string
		if err := rows.Scan(&id, &stored); err != nil {
			t.Fatal(err)
		}
		all[id] = stored
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func users(kind drivertest.Kind, column string) table {
	d := map[drivertest.Kind]dialect{drivertest.SQLite: sqlite, drivertest.MariaDB: mysql, drivertest.Postgres: postgres}[kind]
	return table{dialect: d, name: "users", id: "id", hash: column, batch: 64, write: true}
}

// A table of 1,000 users in weak schemes: after one run the dump holds none of
// their digests, everybody still logs in, and a second run has nothing to do.
func TestMigrate(t *testing.T) {
	for _, kind := range drivertest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := drivertest.Require(t, kind)
			db, err := server.Fresh(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			exec(t, db, "CREATE TABLE users (id INTEGER PRIMARY KEY, password VARCHAR(300))")
			tb, h := users(kind, "password"), hasher()
			pw := func(i int) string { return fmt.Sprintf("Passwort %d ü", i) }
			var secrets []string
			for i := range 1000 {
				stored, secret := legacyHash(t, i, pw(i))
				secrets = append(secrets, secret)
				exec(t, db, tb.sql("INSERT INTO users (id, password) VALUES (?, ?)"), i, stored)
			}
			plain, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, db, tb.sql("INSERT INTO users (id, password) VALUES (2000, ?), (2001, NULL), (2002, ''), (2003, 'nonsense')"), string(plain))

			before := dump(t, db)
			tb.write = false
			if c, err := migrate(t.Context(), db, h, tb); err != nil || c.wrapped != 1000 || fmt.Sprint(dump(t, db)) != fmt.Sprint(before) {
				t.Fatalf("counting: %+v, %v", c, err)
			}
			tb.write = true
			c, err := migrate(t.Context(), db, h, tb)
			if err != nil || c.wrapped != 1000 || c.left != 1 || c.none != 2 || c.changed != 0 || c.schemes["md5"] != 500 || c.unread[password.ErrUnknownScheme.Error()] != 1 {
				t.Fatalf("%+v, %v", c, err)
			}
			after := dump(t, db)
			text := fmt.Sprint(after)
			for i, s := range secrets {
				if strings.Contains(text, s) || strings.Contains(text, base64.RawStdEncoding.EncodeToString([]byte(s))) {
					t.Fatalf("the digest of user %d is in the dump", i)
				}
				if got, err := h.Verify(t.Context(), after[i], pw(i)); err != nil || !got.Match || !got.Upgrade {
					t.Fatalf("user %d cannot log in: %+v, %v", i, got, err)
				}
				if got, err := h.Verify(t.Context(), after[i], pw(i+1)); err != nil || got.Match {
					t.Fatalf("user %d logs in with another password", i)
				}
			}
			for _, i := range []int{2000, 2001, 2002, 2003} {
				if after[i] != before[i] {
					t.Errorf("row %d was changed", i)
				}
			}
			if c, err := migrate(t.Context(), db, h, tb); err != nil || c.wrapped != 0 || c.left != 1001 || fmt.Sprint(dump(t, db)) != text {
				t.Errorf("a second run: %+v, %v", c, err)
			}
			narrow(t, db, kind)
		})
	}
}

// A column that is too narrow for the new hashes stops the run, and loses nothing.
func narrow(t *testing.T, db *sql.DB, kind drivertest.Kind) {
	if kind == drivertest.SQLite {
		return // its columns have no width
	}
	if kind == drivertest.MariaDB {
		db.SetMaxOpenConns(1)
		exec(t, db, "SET sql_mode = ''") // then it cuts silently
	}
	exec(t, db, "DROP TABLE users")
	exec(t, db, "CREATE TABLE users (id INTEGER PRIMARY KEY, password VARCHAR(40))")
	exec(t, db, users(kind, "").sql("INSERT INTO users (id, password) VALUES (1, ?)"), hexMD5("pw"))
	if kind == drivertest.MariaDB {
		exec(t, db, "ALTER TABLE users ENGINE = InnoDB")
	}
	if c, err := migrate(t.Context(), db, hasher(), users(kind, "password")); err == nil || c.wrapped != 0 || dump(t, db)[1] != hexMD5("pw") {
		t.Errorf("a narrow column: %+v, %v, %v", c, err, dump(t, db))
	}
}

// Whoever changes a row between reading and writing wins.
func TestChangedMeanwhile(t *testing.T) {
	server := drivertest.Require(t, drivertest.SQLite)
	db, err := server.Fresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec(t, db, "CREATE TABLE users (id TEXT PRIMARY KEY, password TEXT)")
	exec(t, db, "INSERT INTO users VALUES ('ann', ?), ('bob', ?)", hexMD5("a"), hexMD5("b"))
	h := hasher()
	var once sync.Once
	g := &between{do: func() {
		once.Do(func() { exec(t, db, "UPDATE users SET password = 'new' WHERE id = 'bob'") })
	}}
	h.Gate = g
	tb := users(drivertest.SQLite, "password")
	c, err := migrate(t.Context(), db, h, tb)
	if err != nil || c.wrapped != 1 || c.changed != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	var bob string
	if err := db.QueryRow("SELECT password FROM users WHERE id = 'bob'").Scan(&bob); err != nil || bob != "new" {
		t.Errorf("bob has %q, %v", bob, err)
	}
	for _, bad := range []string{"", "a b", `a"; DROP TABLE users; --`, "a.b.c", "ü"} {
		tb.hash = bad
		if _, err := migrate(t.Context(), db, h, tb); err == nil {
			t.Errorf("the column %q is accepted", bad)
		}
	}
}

// The program itself, on a file: nothing of an old hash is left in it, not even in
// free pages.
func TestRunOnFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "app.db")
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db, "CREATE TABLE users (id INTEGER PRIMARY KEY, password TEXT)")
	for i := range 50 {
		exec(t, db, "INSERT INTO users VALUES (?, ?)", i, hexMD5(fmt.Sprint("pw", i)))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	url, ring := write("url", "sqlite:"+file+"\n"), keyring.Generate()
	h := hasher()
	c, err := run(context.Background(), url, write("keys", ring), h, users(drivertest.SQLite, "password"))
	if err != nil || c.wrapped != 50 {
		t.Fatalf("%+v, %v", c, err)
	}
	files, err := filepath.Glob(file + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			sum := md5.Sum([]byte(fmt.Sprint("pw", i)))
			if bytes.Contains(raw, []byte(hex.EncodeToString(sum[:]))) {
				t.Fatalf("%s still holds the hash of user %d", filepath.Base(f), i)
			}
		}
		if f == file && bytes.Count(raw, []byte("$pepper$")) < 50 {
			t.Error("the hashes have no pepper")
		}
	}
	if _, err := run(context.Background(), write("url", "mysql:root:hunter2@nowhere(x"), "", hasher(), users(drivertest.MariaDB, "password")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a URL that is none: %v", err)
	}
}
