package protocol

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-security/holdfast/server"
)

// A Code says what kind of thing went wrong, for whoever decides on it.
type Code string

// The codes.
const (
	// CodeFailed is anything that has no code of its own.
	CodeFailed Code = "failed"
	// CodeFormat: the message has a format that the daemon does not know.
	CodeFormat Code = "format"
	// CodeUnknownOp: the daemon does not know the operation.
	CodeUnknownOp Code = "unknown-op"
	// CodeMalformed: the message or its body could not be understood.
	CodeMalformed Code = "malformed"
	// CodeTooLarge: a message does not fit the bounds.
	CodeTooLarge Code = "too-large"
	// CodeBusy: too many requests at once, or another run holds the server.
	CodeBusy Code = "busy"
	// CodeCanceled: the desk cancelled the request.
	CodeCanceled Code = "canceled"
	// CodeDrift: the server is not as the plan showed it; Subject names the
	// resource.
	CodeDrift Code = "drift"
	// CodeNeedsSecret: Subject names the secret that was not sent.
	CodeNeedsSecret Code = "needs-secret"
	// CodeRefused: it could be done and is not, because it would do harm.
	CodeRefused Code = "refused"
	// CodeForeign: the server belongs to another site; Subject names it.
	CodeForeign Code = "foreign"
	// CodeNotFound: there is no such transaction; Subject names it.
	CodeNotFound Code = "not-found"
	// CodeTooLate: the transaction has gone another way already, such as a
	// confirmation after the rollback; Subject is its state.
	CodeTooLate Code = "too-late"
)

// An Outcome says what a failed request has left on the server.
type Outcome string

// The outcomes.
const (
	// Unchanged: nothing was changed.
	Unchanged Outcome = "unchanged"
	// Undone: the changes of this run were undone.
	Undone Outcome = "undone"
	// Pending: changes are in place and will be undone unless they are
	// confirmed.
	Pending Outcome = "pending"
	// Unsure: it is not known.
	Unsure Outcome = "unknown"
)

// An Error is a failure that the daemon reports.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	// State is what is on the server now.
	State Outcome `json:"state"`
	// Subject is the name that the code speaks of; empty if it speaks of none.
	Subject string `json:"subject,omitempty"`

	cause error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the error that led to this one, at the end where it arose.
func (e *Error) Unwrap() error { return e.cause }

// Errorf returns an Error with a message made by [fmt.Errorf].
func Errorf(code Code, state Outcome, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), State: state, cause: err}
}

// reported turns what a handler returned into what is sent. A handler that
// returns an *Error, wrapped or not, decides itself; the message is the whole
// chain's.
func reported(op Op, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		out := *own
		out.Message = err.Error()
		return &out
	}
	out := &Error{Code: CodeFailed, Message: err.Error(), State: Unsure}
	if !op.Changes() {
		out.State = Unchanged
	}
	var drift *server.DriftError
	var needs *server.NeedsSecretError
	var size *SizeError
	switch {
	case errors.As(err, &drift):
		out.Code, out.Subject = CodeDrift, drift.Resource
	case errors.As(err, &needs):
		out.Code, out.Subject = CodeNeedsSecret, needs.Secret
	case errors.As(err, &size):
		out.Code = CodeTooLarge
	case errors.Is(err, context.Canceled):
		out.Code = CodeCanceled
	}
	return out
}

// A ClosedError says that the connection to the daemon is gone or was given up.
// What became of a request that changes the server is not known.
type ClosedError struct {
	// Err is why; [io.EOF] if the other end closed it.
	Err error
}

// Error says why.
func (e *ClosedError) Error() string { return fmt.Sprintf("the connection is closed: %v", e.Err) }

// Unwrap returns Err.
func (e *ClosedError) Unwrap() error { return e.Err }
