package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/app/support"
)

// AddCase is of [support.Cases].
func (s *Store) AddCase(ctx context.Context, c support.Case) error {
	actions := make([]string, len(c.Actions))
	for i, a := range c.Actions {
		actions[i] = string(a)
	}
	all := strings.Join(actions, ",")
	for _, err := range []error{tooLong("id", c.ID, 64), tooLong("staff", c.Staff, 64), tooLong("key", c.Account, 64), tooLong("actions", all, 1000)} {
		if err != nil {
			return fmt.Errorf("adding a case: %w", err)
		}
	}
	_, err := s.exec(ctx, "INSERT INTO holdfast_cases (id, staff, account, actions, opened, code, tries, expires, until) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0)",
		c.ID, c.Staff, c.Account, all, c.Opened.UnixMicro(), make([]byte, 32))
	if err != nil {
		return fmt.Errorf("adding a case: %w", err)
	}
	return nil
}

// Case is of [support.Cases].
func (s *Store) Case(ctx context.Context, id, staff string) (support.Case, error) {
	c := support.Case{ID: id, Staff: staff}
	var actions string
	var opened, expires, until int64
	var code []byte
	err := s.row(ctx, "SELECT account, actions, opened, code, tries, expires, until FROM holdfast_cases WHERE id = ? AND staff = ?", id, staff).
		Scan(&c.Account, &actions, &opened, &code, &c.Tries, &expires, &until)
	if absent(err) {
		return support.Case{}, support.ErrNoCase
	}
	if err != nil {
		return support.Case{}, fmt.Errorf("reading a case: %w", err)
	}
	if copy(c.Code[:], code) != len(c.Code) {
		return support.Case{}, fmt.Errorf("reading a case: a code of %d bytes", len(code))
	}
	if actions != "" {
		for a := range strings.SplitSeq(actions, ",") {
			c.Actions = append(c.Actions, support.Action(a))
		}
	}
	c.Opened, c.Expires, c.Until = time.UnixMicro(opened), time.UnixMicro(expires), time.UnixMicro(until)
	return c, nil
}

// SetCaseCode is of [support.Codes].
func (s *Store) SetCaseCode(ctx context.Context, id, staff string, code [32]byte, tries int, expires time.Time) error {
	n, err := s.exec(ctx, "UPDATE holdfast_cases SET code = ?, tries = ?, expires = ?, until = 0 WHERE id = ? AND staff = ?",
		code[:], tries, expires.UnixMicro(), id, staff)
	if err != nil {
		return fmt.Errorf("setting the code of a case: %w", err)
	}
	if n == 0 {
		return support.ErrNoCase
	}
	return nil
}

// TryCaseCode is of [support.Codes].
func (s *Store) TryCaseCode(ctx context.Context, id, staff string, now time.Time) (support.Case, error) {
	n, err := s.exec(ctx, "UPDATE holdfast_cases SET tries = tries - 1 WHERE id = ? AND staff = ? AND tries > 0 AND expires > ?",
		id, staff, now.UnixMicro())
	if err != nil {
		return support.Case{}, fmt.Errorf("trying the code of a case: %w", err)
	}
	if n == 0 {
		return support.Case{}, support.ErrNoCase
	}
	return s.Case(ctx, id, staff)
}

// SpendCaseCode is of [support.Codes].
func (s *Store) SpendCaseCode(ctx context.Context, id, staff string, code [32]byte, until time.Time) (bool, error) {
	n, err := s.exec(ctx, "UPDATE holdfast_cases SET until = ?, tries = 0, expires = 0 WHERE id = ? AND staff = ? AND code = ? AND expires > 0",
		until.UnixMicro(), id, staff, code[:])
	if err != nil {
		return false, fmt.Errorf("spending the code of a case: %w", err)
	}
	return n == 1, nil
}

// PutAct is of [support.Log].
func (s *Store) PutAct(ctx context.Context, a support.Act) error {
	for _, err := range []error{tooLong("act", a.What, 64), tooLong("detail", a.Detail, support.MaxDetail)} {
		if err != nil {
			return fmt.Errorf("recording an act: %w", err)
		}
	}
	_, err := s.exec(ctx, "INSERT INTO holdfast_acts (id, at, staff, file, account, act, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
		rand.Text(), a.Time.UnixMicro(), a.Staff, a.Case, a.Account, a.What, a.Detail)
	if err != nil {
		return fmt.Errorf("recording an act: %w", err)
	}
	return nil
}

// Acts is of [support.Log].
func (s *Store) Acts(ctx context.Context, id string) ([]support.Act, error) {
	rows, err := s.conn.QueryContext(ctx, s.placeholders("SELECT at, staff, account, act, detail FROM holdfast_acts WHERE file = ? ORDER BY at, id"), id)
	if err != nil {
		return nil, fmt.Errorf("reading acts: %w", err)
	}
	defer rows.Close()
	var all []support.Act
	for rows.Next() {
		a := support.Act{Case: id}
		var at int64
		if err := rows.Scan(&at, &a.Staff, &a.Account, &a.What, &a.Detail); err != nil {
			return nil, fmt.Errorf("reading acts: %w", err)
		}
		a.Time = time.UnixMicro(at)
		all = append(all, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading acts: %w", err)
	}
	return all, nil
}
