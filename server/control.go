package server

import "context"

// Severity says how bad it is when a control fails.
type Severity string

// The severities, worst first.
const (
	High   Severity = "high"
	Medium Severity = "medium"
	Low    Severity = "low"
)

// A Reference is the number of a rule in a public benchmark. Numbers move
// between versions, so none is given without its version.
type Reference struct {
	Benchmark string `json:"benchmark"`
	Version   string `json:"version"`
	Number    string `json:"number"`
}

// A Control is one protection, from one section of the guide or from the
// baseline beyond it, declared as data.
type Control struct {
	// ID is unique and kebab-case, such as "ssh-keys-only".
	ID string
	// Guide is the section of the guide, such as "3.7"; empty for the baseline.
	Guide string
	// Title has at most 60 letters and no period.
	Title string
	// Why is the reason, in one sentence.
	Why        string
	Severity   Severity
	References []Reference
	// LocksOut says that a mistake in this control can cut people off.
	LocksOut bool
	// Wants returns the resources that the control wants on the host that r
	// shows. It may look, because where a foreign file has to be neutralised the
	// host decides which; what it returns must not depend on whether it was
	// applied already, so that a second plan is empty.
	Wants func(ctx context.Context, r Reader, c Config) ([]Resource, error)
	// Proofs return what the running system must show beyond the states of the
	// resources.
	Proofs func(c Config) []Proof
}

// A Proof is one question to the running system.
type Proof struct {
	// What is the statement that is to be proven, such as "sshd offers no
	// password to root".
	What string
	// Question, if it is not empty, names what Ask asks: of the proofs of one
	// audit with the same Question, whatever their controls, one is asked and
	// its answer counts for all.
	Question string
	// Ask looks. A nil Failure with a nil error means that it holds. An error
	// means that it could not be told.
	Ask func(ctx context.Context, r Reader, c Config) (Answer, error)
}

// An Answer is what the running system showed.
type Answer struct {
	// Holds says whether the statement is true.
	Holds bool `json:"holds"`
	// Evidence is what was seen, as short raw text.
	Evidence string `json:"evidence"`
	// Command reproduces the evidence on the server, for a person to type.
	Command string `json:"command,omitempty"`
}
