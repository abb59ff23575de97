// Command wrap takes weak password hashes out of a user table in one offline run: a
// stored md5(x) becomes argon2id(md5(x)), and so on for every scheme that
// password.Legacy reads. Nobody has to log in, everybody still can, and the next
// login replaces the wrapped hash by a plain one.
//
//	go run ./app/password/wrap -url FILE -table users -id id -hash password          # counts
//	go run ./app/password/wrap -url FILE -table users -id id -hash password -write   # wraps
//
// The file holds one line that names the database: sqlite:PATH, postgres://… or
// mysql: and a DSN of go-sql-driver/mysql. It is a file because a URL has a password
// in it.
//
// Each row is replaced only if it still is what was read, so the program may go on
// serving; each is read back in the same transaction, so a column that is too narrow
// (they take up to 1024 letters, as a rule 200) stops the run before anything is
// lost. A run that was stopped is run again. Rows that no scheme reads are left as
// they are, and counted by what is wrong with them.
//
// Copies outside the table keep the old hashes: backups, binary logs, replicas, and
// free pages, which VACUUM (SQLite), VACUUM FULL (PostgreSQL) or ALTER TABLE … FORCE
// (MariaDB) writes anew; for SQLite the run does it.
//
// If anything fails, the batch that failed is rolled back and the exit status is 1;
// it is 3 if rows are left that no scheme reads.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/password"
)

func main() {
	var t table
	url := flag.String("url", "", "`file` with the database: sqlite:PATH, postgres://…, or mysql: and a DSN")
	ring := flag.String("keyring", "", "`file` of the program's key ring, if its hashes have a pepper")
	flag.StringVar(&t.name, "table", "users", "`table` of the users")
	flag.StringVar(&t.id, "id", "id", "`column` of the primary key")
	flag.StringVar(&t.hash, "hash", "password", "`column` of the stored hash")
	flag.IntVar(&t.batch, "batch", 100, "`rows` in a transaction")
	flag.BoolVar(&t.write, "write", false, "wrap, and do not only count")
	flag.Parse()
	if *url == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	h := &password.Hasher{Legacy: password.Legacy()}
	count, err := run(ctx, *url, *ring, h, t)
	if err == nil || count.wrapped > 0 {
		show(count, t.write)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "wrap:", err)
		os.Exit(1)
	}
	if len(count.unread) > 0 {
		os.Exit(3)
	}
}

func run(ctx context.Context, url, ring string, h *password.Hasher, t table) (counts, error) {
	if ring != "" {
		text, err := os.ReadFile(ring)
		if err != nil {
			return counts{}, err
		}
		if h.Pepper, err = keyring.Parse(string(text)); err != nil {
			return counts{}, err
		}
	}
	text, err := os.ReadFile(url)
	if err != nil {
		return counts{}, err
	}
	db, err := open(strings.TrimSpace(string(text)), &t)
	if err != nil {
		return counts{}, fmt.Errorf("%s: %w", url, err)
	}
	defer db.Close()
	return migrate(ctx, db, h, t)
}

// open never shows the URL: it has a password in it.
func open(url string, t *table) (*sql.DB, error) {
	kind, rest, _ := strings.Cut(url, ":")
	switch kind {
	case "sqlite":
		t.dialect = sqlite
		return sql.Open("sqlite", "file:"+rest+"?mode=rw&_pragma=busy_timeout(10000)&_pragma=secure_delete(1)")
	case "postgres", "postgresql":
		t.dialect = postgres
		return sql.Open("pgx", url)
	case "mysql":
		t.dialect = mysql
		return sql.Open("mysql", rest)
	}
	return nil, errors.New("the database is none of sqlite:PATH, postgres:URL and mysql:DSN")
}

func show(c counts, write bool) {
	for _, scheme := range slices.Sorted(maps.Keys(c.schemes)) {
		fmt.Printf("%7d  %s\n", c.schemes[scheme], scheme)
	}
	for _, why := range slices.Sorted(maps.Keys(c.unread)) {
		fmt.Printf("%7d  cannot be read: %s\n", c.unread[why], why)
	}
	verb := "to wrap"
	if write {
		verb = "wrapped"
	}
	fmt.Printf("%7d  %s\n%7d  left as they are\n%7d  without a password\n", c.wrapped, verb, c.left, c.none)
	if c.changed > 0 {
		fmt.Printf("%7d  changed meanwhile by somebody else\n", c.changed)
	}
}
