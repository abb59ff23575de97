package protocol

import (
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/forecast"
)

// An Op is what a request asks for.
type Op string

// The operations, each with the types of its body and its result.
const (
	// OpHello takes [Hello] and gives [Welcome].
	OpHello Op = "hello"
	// OpAudit takes [AuditRequest] and gives [AuditResult].
	OpAudit Op = "audit"
	// OpAudits takes [AuditsRequest] and gives [AuditsResult].
	OpAudits Op = "audits"
	// OpPlan takes [PlanRequest] and gives [Plan].
	OpPlan Op = "plan"
	// OpCanary takes [CanaryRequest], sends an event once the candidate's sshd
	// can be reached, and gives [CanaryResult] when the desk cancels it.
	OpCanary Op = "canary"
	// OpCanaryConnect takes [CanaryConnection], sends an event once the
	// connection is there and then what comes over it, and ends with it.
	// [Client.Connect] speaks it.
	OpCanaryConnect Op = "canary-connect"
	// OpCanarySend takes [CanaryData].
	OpCanarySend Op = "canary-send"
	// OpApply takes [ApplyRequest], sends events and gives [Transaction] once
	// the changes are in place and wait for [OpConfirm], or at once if there was
	// nothing to do.
	OpApply Op = "apply"
	// OpConfirm takes [ConfirmRequest] and gives [Transaction].
	OpConfirm Op = "confirm"
	// OpExtend takes [ExtendRequest] and gives [Transaction].
	OpExtend Op = "extend"
	// OpRollback takes [TransactionRequest], sends events and gives
	// [Transaction].
	OpRollback Op = "rollback"
	// OpPlanUndo takes [TransactionRequest] and gives the [Plan] that undoes it.
	OpPlanUndo Op = "plan-undo"
	// OpUndo takes [UndoRequest], sends events and gives [Transaction], like
	// OpApply.
	OpUndo Op = "undo"
	// OpHistory takes [HistoryRequest] and gives [HistoryResult].
	OpHistory Op = "history"
	// OpShow takes [TransactionRequest] and gives [TransactionDetail].
	OpShow Op = "show"
	// OpStatus takes [TransactionRequest] and gives [Transaction]; without an ID
	// it is the latest one.
	OpStatus Op = "status"
	// OpLend takes [LendRequest] and gives [LendResult].
	OpLend Op = "lend"
	// OpUnlock takes [UnlockRequest] and gives [Transaction].
	OpUnlock Op = "unlock"
)

// Changes reports whether the operation may change the server.
func (o Op) Changes() bool {
	return slices.Contains([]Op{OpApply, OpConfirm, OpExtend, OpRollback, OpUndo, OpLend, OpUnlock}, o)
}

// An Event is news of a call that is still running.
type Event struct {
	// Transaction is its ID; empty as long as there is none.
	Transaction string `json:"transaction,omitempty"`
	// State is the transaction's state, in the words of the journal.
	State string `json:"state,omitempty"`
	// Step of Steps is being done; both are 0 if steps are not counted.
	Step  int `json:"step,omitempty"`
	Steps int `json:"steps,omitempty"`
	// Text says what is being done.
	Text string `json:"text,omitempty"`
	// Data are bytes of a stream, at most [MaxChunk].
	Data []byte `json:"data,omitempty"`
}

// Hello opens a conversation.
type Hello struct {
	// Site is the name of the desk's site; empty where there is none.
	Site string `json:"site,omitempty"`
	// Version is the version of the desk's program.
	Version string `json:"version"`
}

// Welcome is what the daemon says of itself and its server.
type Welcome struct {
	// Format is the highest one that the daemon knows.
	Format  int    `json:"format"`
	Version string `json:"version"`
	Facts   Facts  `json:"facts"`
	// Record is nil on a server that nothing was applied to.
	Record *SiteRecord `json:"record,omitempty"`
	// Open is the transaction that is neither confirmed nor rolled back; nil if
	// there is none.
	Open *Transaction `json:"open,omitempty"`
	// Clock is the server's time.
	Clock time.Time `json:"clock"`
}

// LendRequest gives accounts single-use codes for the logins of a run, in place of
// those that the run was lent before. Without any, the run gives back what it has.
type LendRequest struct {
	Run string `json:"run"`
	// Carried holds the codes, as [server.LentSecret] names them.
	Carried
}

// LendResult names the accounts that were enrolled and have got codes.
type LendResult struct {
	Accounts []string `json:"accounts"`
}

// Facts are what a server is.
type Facts struct {
	// System is the distribution and its version, for people.
	System string `json:"system"`
	// Tested says that Holdfast is tested on this system.
	Tested bool `json:"tested"`
	// Refusal says why Holdfast must not change this system; empty if it may.
	Refusal string `json:"refusal,omitempty"`
}

// A SiteRecord says which site a server belongs to and what it was told last.
type SiteRecord struct {
	Site string `json:"site"`
	// Digest is the hash of the site file that was applied last.
	Digest string `json:"digest"`
	// By is who applied it, and At is when.
	By string    `json:"by"`
	At time.Time `json:"at"`
}

// AuditRequest asks for the verdicts on a server.
type AuditRequest struct {
	Config server.Config `json:"config"`
	Carried
}

// AuditResult are the verdicts, in the order of the controls.
type AuditResult struct {
	Results []server.Result `json:"results"`
	// Open is the transaction that had not ended, so that its changes may go
	// away again; nil if there was none.
	Open *Transaction `json:"open,omitempty"`
}

// AuditsRequest asks for the audits that a server has made by itself.
type AuditsRequest struct {
	// After is a time: those are asked for that were made later.
	After time.Time `json:"after,omitzero"`
}

// AuditsResult are audits that a server has made by itself, earliest first.
type AuditsResult struct {
	Audits []server.AuditRecord `json:"audits"`
	// More says that there are later ones.
	More bool `json:"more,omitempty"`
}

// PlanRequest asks for what would have to change.
type PlanRequest struct {
	Config server.Config `json:"config"`
	Carried
}

// A Plan is a [server.Plan] as a desk sees it.
type Plan struct {
	// Digest identifies it; [ApplyRequest] names it.
	Digest string     `json:"digest"`
	Steps  []PlanStep `json:"steps"`
	// Errors are, by the control's ID, why it could not tell what it wants.
	Errors map[string]string `json:"errors,omitempty"`
	// Refusals are the reasons why this plan will not be applied.
	Refusals []string `json:"refusals,omitempty"`
	// Excepted are the exceptions whose controls were left out.
	Excepted []server.Exception `json:"excepted,omitempty"`
	// Notes are what a person should know, such as what an older site file
	// would revert.
	Notes []string `json:"notes,omitempty"`
	// Needs are the names of the secrets that applying it takes.
	Needs []string `json:"needs,omitempty"`
	// Before and After say who can log in and become root.
	Before []forecast.Access `json:"before,omitempty"`
	After  []forecast.Access `json:"after,omitempty"`
	// Installs says that packages come first, in a transaction of their own.
	Installs bool `json:"installs,omitempty"`
}

// A PlanStep is one change.
type PlanStep struct {
	// Controls are the IDs of those that want it.
	Controls []string     `json:"controls"`
	Resource string       `json:"resource"`
	Before   server.State `json:"before"`
	After    server.State `json:"after"`
	// Diff is the change as a unified diff.
	Diff     string `json:"diff"`
	LocksOut bool   `json:"locks_out"`
}

// ApplyRequest asks for a plan to be carried out.
type ApplyRequest struct {
	Config server.Config `json:"config"`
	// Digest is the plan's that was shown. If the server has another one by
	// now, nothing is done.
	Digest string `json:"digest"`
	Guard
	Carried
}

// CanaryRequest asks for the login path as a plan would leave it, in a private
// copy of the server, to be logged in to.
type CanaryRequest struct {
	Config server.Config `json:"config"`
	// Digest is that of the plan, or of the plan that undoes.
	Digest string `json:"digest"`
	// Undo says that the plan is the one that [OpPlanUndo] gives for
	// Transaction.
	Undo        bool   `json:"undo,omitempty"`
	Transaction string `json:"transaction,omitempty"`
	Carried
}

// CanaryResult is how a canary has ended.
type CanaryResult struct {
	// Skipped says why there was none; empty if there was.
	Skipped string `json:"skipped,omitempty"`
	// Log is the end of what its sshd has logged.
	Log string `json:"log,omitempty"`
}

// CanaryConnection asks for a connection to the canary.
type CanaryConnection struct {
	// Stream is a number that the desk has not used before, from 1.
	Stream uint64 `json:"stream"`
}

// CanaryData goes from the desk to the canary.
type CanaryData struct {
	Stream uint64 `json:"stream"`
	// Data are at most [MaxChunk] bytes.
	Data []byte `json:"data,omitempty"`
	// Taken is how many bytes of the stream the desk has used up so far.
	Taken int64 `json:"taken,omitempty"`
}

// Nothing is the result of an operation that has none.
type Nothing struct{}

// Guard is how a transaction is to be guarded.
type Guard struct {
	// NonceHash is the SHA-256, in hex, of the nonce that confirms.
	NonceHash string `json:"nonce_hash"`
	// Window is how long the server waits for the confirmation, in seconds.
	Window int `json:"window"`
	// Run joins the transactions of one run at the desk.
	Run string `json:"run"`
	// By is who asks, Desk from where, and Version with what, for the journal.
	By      string `json:"by"`
	Desk    string `json:"desk"`
	Version string `json:"version"`
}

// UndoRequest asks for a transaction to be undone.
type UndoRequest struct {
	Transaction string `json:"transaction"`
	// Digest is that of the plan that [OpPlanUndo] gave.
	Digest string `json:"digest"`
	Guard
}

// TransactionRequest names a transaction.
type TransactionRequest struct {
	Transaction string `json:"transaction,omitempty"`
}

// ConfirmRequest makes a transaction final. Its nonce is a secret until then:
// only the desk that applied can confirm.
type ConfirmRequest struct {
	Transaction string `json:"transaction"`
	// Nonce are 16 random bytes in hex.
	Nonce string `json:"nonce"`
}

// ExtendRequest gives a transaction more time.
type ExtendRequest struct {
	Transaction string `json:"transaction"`
	Nonce       string `json:"nonce"`
	// Window is the time from now on, in seconds.
	Window int `json:"window"`
}

// UnlockRequest takes a server away from a run that holds it and is gone.
type UnlockRequest struct {
	// By is who asks, for the journal.
	By string `json:"by"`
}

// HistoryRequest asks for the latest transactions.
type HistoryRequest struct {
	// Limit is how many at most; 0 means 100.
	Limit int `json:"limit,omitempty"`
}

// HistoryResult are transactions, the latest first.
type HistoryResult struct {
	Transactions []Transaction `json:"transactions"`
}

// The states of a [Transaction] that a desk acts on, in the words of the
// journal.
const (
	StatePrepared       = "prepared"
	StateArmed          = "armed"
	StateApplying       = "applying"
	StateApplied        = "applied"
	StateConfirmed      = "confirmed"
	StateRollingBack    = "rolling-back"
	StateRolledBack     = "rolled-back"
	StateRollbackFailed = "rollback-failed"
)

// A Transaction is one guarded run of changes on a server.
type Transaction struct {
	// ID is empty if a plan had no changes and so opened no transaction.
	ID string `json:"id"`
	// State is its state, in the words of the journal.
	State string `json:"state"`
	// Run joins the transactions of one run at the desk, and Kind says what this
	// one is for, in the words of the journal.
	Run  string `json:"run,omitempty"`
	Kind string `json:"kind,omitempty"`
	// More says that another transaction of the run is to follow.
	More bool `json:"more,omitempty"`
	// Undoes is the ID of the transaction that this one undoes, and UndoneBy of
	// the one that has undone it, if any.
	Undoes   string `json:"undoes,omitempty"`
	UndoneBy string `json:"undone_by,omitempty"`
	// By is who asked for it, and Desk from where.
	By   string `json:"by"`
	Desk string `json:"desk,omitempty"`
	// Digest is that of the site file it was made from.
	Digest string    `json:"digest,omitempty"`
	Begun  time.Time `json:"begun"`
	// Ended is zero while it is open.
	Ended time.Time `json:"ended,omitzero"`
	// Left is, while it waits for its confirmation, for how many seconds yet.
	Left int `json:"left,omitempty"`
	// Changes is how many there are.
	Changes int `json:"changes"`
	// Reason is why it was rolled back, or could not be; empty otherwise.
	Reason string `json:"reason,omitempty"`
}

// TransactionDetail is a transaction with what it changed.
type TransactionDetail struct {
	Transaction
	Steps []PlanStep `json:"steps"`
}
