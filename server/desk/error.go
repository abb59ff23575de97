package desk

import (
	"fmt"
	"strings"
	"time"
)

// A TimeoutError says that a phase of a connection took too long.
type TimeoutError struct {
	Server string
	// Phase is what was being done, such as "logging in".
	Phase string
	After time.Duration
}

// Error names the phase.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s: %s took longer than %v", e.Server, e.Phase, e.After)
}

// Timeout returns true, as for [net.Error].
func (e *TimeoutError) Timeout() bool { return true }

// A LostError says that a connection that worked is gone. What became of a
// change that was under way is not known.
type LostError struct {
	Server string
	Err    error
}

// Error says why.
func (e *LostError) Error() string {
	return fmt.Sprintf("%s: the connection was lost: %v", e.Server, e.Err)
}

// Unwrap returns Err.
func (e *LostError) Unwrap() error { return e.Err }

// A HostKeyChangedError says that a server shows another host key than the one
// that was pinned: it was installed anew, or it is not that server.
type HostKeyChangedError struct {
	Server string
	// File and Line are where a key is pinned.
	File string
	Line int
	// Pinned and Offered are the keys' types and SHA-256 fingerprints, as
	// ssh-keygen -l prints them. If the server offers no key of a pinned type,
	// Offered are the types that it has.
	Pinned, Offered string
}

// Error names the place and both keys.
func (e *HostKeyChangedError) Error() string {
	return fmt.Sprintf("%s: the host key has changed: %s:%d has %s, the server shows %s",
		e.Server, e.File, e.Line, e.Pinned, e.Offered)
}

// An UnknownHostKeyError says that a host key was never seen and that nobody
// accepted it.
type UnknownHostKeyError struct{ Key HostKey }

// Error names the fingerprint.
func (e *UnknownHostKeyError) Error() string {
	return fmt.Sprintf("%s: the host key %s is not known", e.Key.Server, e.Key.Fingerprint)
}

// An UnaskedError says that a question came up and nobody could be asked.
type UnaskedError struct{ Question Question }

// Error says what was to be asked.
func (e *UnaskedError) Error() string {
	q := e.Question
	if q.Kind == Passphrase {
		return fmt.Sprintf("the passphrase of %s is needed and nobody can be asked", q.File)
	}
	return fmt.Sprintf("the %s of %s is needed and nobody can be asked", q.Kind, q.Account)
}

// A LoginError says that a server did not let an account in, or that this desk
// has nothing to show for it.
type LoginError struct {
	Server, User string
	// Tried are the methods that were tried, and Offered those that the server
	// would have taken next; both empty if no attempt was made.
	Tried, Offered []string
	// Why says more, where more is known.
	Why string
	Err error
}

// Error says what was tried.
func (e *LoginError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s cannot log in", e.Server, e.User)
	if e.Why != "" {
		fmt.Fprintf(&b, ": %s", e.Why)
	}
	if len(e.Tried) > 0 {
		fmt.Fprintf(&b, ": %s refused", strings.Join(e.Tried, " and "))
	}
	if len(e.Offered) > 0 {
		fmt.Fprintf(&b, " (the server takes %s)", strings.Join(e.Offered, ", "))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *LoginError) Unwrap() error { return e.Err }

// A TurnedAwayError says that a server closed the connection before any login,
// with the words that it gave: it is making this address wait after failed
// logins, or it has too many connections.
type TurnedAwayError struct {
	Server, Text string
	Err          error
}

// Error gives the server's words.
func (e *TurnedAwayError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s: the server closed the connection before the login: %v", e.Server, e.Err)
	}
	return fmt.Sprintf("%s: the server closed the connection before the login: %q", e.Server, e.Text)
}

// Unwrap returns Err.
func (e *TurnedAwayError) Unwrap() error { return e.Err }

// Why sudo did not make an account root.
type SudoReason string

// The reasons.
const (
	WrongPassword SudoReason = "the password is wrong"
	NotAllowed    SudoReason = "sudo does not allow it"
	NoSudo        SudoReason = "there is no sudo"
	SudoBroken    SudoReason = "sudo failed"
)

// A SudoError says that an account could log in but not become root.
type SudoError struct {
	Server, User string
	Reason       SudoReason
	// Text is what sudo said.
	Text string
}

// Error gives the reason and sudo's words.
func (e *SudoError) Error() string {
	s := fmt.Sprintf("%s: %s cannot become root: %s", e.Server, e.User, e.Reason)
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// A MachineError says that there is no daemon for a server's architecture.
type MachineError struct {
	Server string
	// Machine is what uname -m says.
	Machine string
}

// Error names the architecture.
func (e *MachineError) Error() string {
	return fmt.Sprintf("%s: there is no holdfastd for the architecture %q", e.Server, e.Machine)
}
