package main

import (
	"errors"
	"fmt"
)

// An exitError ends the program with a status of the contract in exit.go. Its
// error has been printed already if quiet is set.
type exitError struct {
	code  int
	err   error
	quiet bool
}

// Error returns the text of the error.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the error.
func (e *exitError) Unwrap() error { return e.err }

// The exit statuses are a contract with scripts; docs/operator.md repeats this
// table.
const (
	exitOK         = 0  // fine
	exitFailed     = 1  // an error, or a refusal; nothing was left half done
	exitFindings   = 2  // the site has findings (audit) or pending changes (plan)
	exitRolledBack = 3  // apply was rolled back; the server is as it was
	exitUnknown    = 4  // the state of a server is not known
	exitUsage      = 64 // the command line was wrong
)

// statusOf returns the exit status for err.
func statusOf(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	}
	return exitFailed
}
