package drivertest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"

	"github.com/holdfast-security/holdfast/app/store"
)

// ErrFault is the error of a statement that Faults has failed.
var ErrFault = errors.New("injected fault")

// Faults fails one statement of a database, as a broken connection would: what came
// before it in its transaction is rolled back by the server.
type Faults struct {
	mu    sync.Mutex
	left  int
	fired bool
}

// Arm makes the n-th operation from now fail; operations are beginnings of
// transactions, statements and commits. A commit counts twice: it fails before the
// server has heard of it, and then after, when only its answer is lost. With 0
// nothing fails. It reports whether the fault that was armed before has happened.
func (f *Faults) Arm(n int) (fired bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fired = f.fired
	f.left, f.fired = n, false
	return fired
}

func (f *Faults) hit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return false
	}
	f.left--
	f.fired = f.fired || f.left == 0
	return f.left == 0
}

// Faulty returns a store in a new database whose statements can be made to fail.
func (s *Server) Faulty(ctx context.Context) (*store.Store, *Faults, func() error, error) {
	dsn, err := s.FreshDSN(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	plain, err := Connect(s.Kind, dsn)
	if err != nil {
		return nil, nil, nil, err
	}
	defer plain.Close()
	f := &Faults{}
	db := sql.OpenDB(&faultyConnector{plain.Driver(), dsn, f})
	st := store.New(db, s.Kind.Dialect())
	if err := st.Migrate(ctx); err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	return st, f, db.Close, nil
}

type faultyConnector struct {
	driver driver.Driver
	dsn    string
	faults *Faults
}

func (c *faultyConnector) Driver() driver.Driver { return c.driver }

func (c *faultyConnector) Connect(ctx context.Context) (driver.Conn, error) {
	var conn driver.Conn
	var err error
	if with, ok := c.driver.(driver.DriverContext); ok {
		var connector driver.Connector
		if connector, err = with.OpenConnector(c.dsn); err == nil {
			conn, err = connector.Connect(ctx)
		}
	} else {
		conn, err = c.driver.Open(c.dsn)
	}
	if err != nil {
		return nil, err
	}
	all, ok := conn.(fullConn)
	if !ok {
		return nil, errors.Join(errors.New("a driver without contexts"), conn.Close())
	}
	return &faultyConn{all, c.faults}, nil
}

// fullConn is what the drivers of this package implement.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
}

type faultyConn struct {
	fullConn
	faults *Faults
}

func (c *faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if c.faults.hit() {
		return nil, ErrFault
	}
	tx, err := c.fullConn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return &faultyTx{tx, c.faults}, nil
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.faults.hit() {
		return nil, ErrFault
	}
	return c.fullConn.ExecContext(ctx, query, args)
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.faults.hit() {
		return nil, ErrFault
	}
	return c.fullConn.QueryContext(ctx, query, args)
}

// CheckNamedValue is the driver's own, if it has one.
func (c *faultyConn) CheckNamedValue(v *driver.NamedValue) error {
	if own, ok := c.fullConn.(driver.NamedValueChecker); ok {
		return own.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// ResetSession is the driver's own, if it has one.
func (c *faultyConn) ResetSession(ctx context.Context) error {
	if own, ok := c.fullConn.(driver.SessionResetter); ok {
		return own.ResetSession(ctx)
	}
	return nil
}

type faultyTx struct {
	driver.Tx
	faults *Faults
}

func (t *faultyTx) Commit() error {
	if t.faults.hit() {
		return errors.Join(ErrFault, t.Tx.Rollback())
	}
	err := t.Tx.Commit()
	if t.faults.hit() {
		return errors.Join(ErrFault, err)
	}
	return err
}
