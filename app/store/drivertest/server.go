package drivertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/sqlite"
)

// A Kind is a kind of database.
type Kind string

// The kinds.
const (
	SQLite   Kind = "sqlite"
	MariaDB  Kind = "mariadb"
	Postgres Kind = "postgres"
)

// Kinds are all of them.
var Kinds = []Kind{SQLite, MariaDB, Postgres}

// ErrMissing says that the programs of a server are not installed.
var ErrMissing = errors.New("not installed")

// A Server is a running database server, or the directory of SQLite files.
type Server struct {
	Kind Kind

	dir  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  *bytes.Buffer // complete when done is closed
}

// Start starts a server of this kind. With durable, commits reach the disk as they
// do in production; without, they are faster. The error wraps [ErrMissing] if the
// programs are not installed.
func Start(ctx context.Context, kind Kind, durable bool) (_ *Server, err error) {
	dir, err := os.MkdirTemp("", "holdfast-"+string(kind)+"-")
	if err != nil {
		return nil, err
	}
	s := &Server{Kind: kind, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	switch kind {
	case MariaDB:
		err = s.startMariaDB(ctx, durable)
	case Postgres:
		err = s.startPostgres(ctx, durable)
	}
	return s, err
}

func (s *Server) startMariaDB(ctx context.Context, durable bool) error {
	server, err := find("mariadbd", "mysqld")
	if err != nil {
		return err
	}
	install, err := find("mariadb-install-db")
	if err != nil {
		return err
	}
	cred, err := s.handOver("mysql")
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	err = run(ctx, cred, install, "--no-defaults", "--datadir="+data, "--skip-test-db", "--auth-root-authentication-method=normal")
	if err != nil {
		return err
	}
	flush := "0"
	if durable {
		flush = "1"
	}
	// The usual collation of MariaDB, the most forgiving that there is.
	s.spawn(cred, server, "--no-defaults", "--datadir="+data, "--socket="+s.socket(), "--pid-file="+filepath.Join(s.dir, "pid"),
		"--skip-networking", "--innodb-flush-log-at-trx-commit="+flush, "--innodb-buffer-pool-size=64M",
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci")
	return s.ready(ctx)
}

func (s *Server) startPostgres(ctx context.Context, durable bool) error {
	initdb, err := find("initdb")
	if err != nil {
		return err
	}
	cred, err := s.handOver("postgres")
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	err = run(ctx, cred, initdb, "--pgdata="+data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions")
	if err != nil {
		return err
	}
	flush := "off"
	if durable {
		flush = "on"
	}
	s.spawn(cred, filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-k", s.dir, "-h", "", "-c", "fsync="+flush, "-c", "synchronous_commit="+flush)
	return s.ready(ctx)
}

func (s *Server) socket() string { return filepath.Join(s.dir, "s") }

// handOver gives the directory to the server's own account, if we are root: no
// database server wants to be.
func (s *Server) handOver(account string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(account)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w: %w", account, ErrMissing, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(s.dir, uid, gid)
}

// spawn starts the server, and lets the kernel stop it if we die.
func (s *Server) spawn(cred *syscall.Credential, name string, args ...string) {
	s.cmd, s.done, s.log = exec.Command(name, args...), make(chan struct{}), &bytes.Buffer{}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, s.log, s.log
	s.cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGINT}
	started := make(chan struct{})
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // the signal comes when this thread ends
		err := s.cmd.Start()
		close(started)
		if err == nil {
			err = s.cmd.Wait()
		}
		if err != nil {
			fmt.Fprintln(s.log, err)
		}
	}()
	<-started
}

// ready waits until the server answers.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	db, err := Connect(s.Kind, s.dsn(""))
	if err != nil {
		return err
	}
	defer db.Close()
	for db.PingContext(ctx) != nil {
		select {
		case <-s.done:
			return fmt.Errorf("%s ended: %s", s.Kind, s.log)
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", s.Kind, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// Fresh returns a new, empty database.
func (s *Server) Fresh(ctx context.Context) (*sql.DB, error) {
	dsn, err := s.FreshDSN(ctx)
	if err != nil {
		return nil, err
	}
	return Connect(s.Kind, dsn)
}

// FreshDSN makes a new, empty database and returns the name by which Connect opens
// it, in other processes too.
func (s *Server) FreshDSN(ctx context.Context) (string, error) {
	name := "t" + strings.ToLower(rand.Text())
	if s.Kind != SQLite {
		db, err := Connect(s.Kind, s.dsn(""))
		if err != nil {
			return "", err
		}
		defer db.Close()
		if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
			return "", err
		}
	}
	return s.dsn(name), nil
}

// dsn names a database, or for "" the server's own.
func (s *Server) dsn(name string) string {
	switch s.Kind {
	case SQLite:
		return sqlite.DSN(filepath.Join(s.dir, name+".db"))
	case Postgres:
		if name == "" {
			name = "postgres"
		}
		return "host=" + s.dir + " user=postgres dbname=" + name
	}
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = "root", "unix", s.socket(), name
	return c.FormatDSN()
}

// Connect opens a database by its name from [Server.FreshDSN].
func Connect(kind Kind, dsn string) (*sql.DB, error) {
	driver := map[Kind]string{SQLite: "sqlite", MariaDB: "mysql", Postgres: "pgx"}[kind]
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", kind, err)
	}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	return db, nil
}

// Dialect is what the store calls this kind.
func (k Kind) Dialect() store.Dialect {
	return map[Kind]store.Dialect{SQLite: store.SQLite, MariaDB: store.MySQL, Postgres: store.Postgres}[k]
}

// Stop ends the server and removes its data.
func (s *Server) Stop() error {
	if s.cmd != nil && s.cmd.Process != nil {
		// MariaDB's way to stop, and PostgreSQL's way to stop at once.
		sig := map[Kind]os.Signal{MariaDB: syscall.SIGTERM, Postgres: syscall.SIGINT}[s.Kind]
		s.cmd.Process.Signal(sig)
		select {
		case <-s.done:
		case <-time.After(30 * time.Second):
			s.cmd.Process.Kill()
			<-s.done
		}
	}
	return os.RemoveAll(s.dir)
}

// find looks for a program in PATH and where Debian has servers.
func find(names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			if real, err := filepath.EvalSymlinks(path); err == nil {
				path = real
			}
			return path, nil
		}
		dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well formed
		sort.Sort(sort.Reverse(sort.StringSlice(dirs)))
		for _, dir := range append(dirs, "/usr/sbin") {
			if path := filepath.Join(dir, name); executable(path) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%s: %w", strings.Join(names, " or "), ErrMissing)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

func run(ctx context.Context, cred *syscall.Credential, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, out)
	}
	return nil
}
