// Package txn is the journal and the guard: transactions on one server that
// survive crashes, reboots and lost connections, and that put the server back
// by themselves unless somebody proves that it can still be logged in to.
//
// A transaction is one guarded run of changes. Its life:
//
//	prepared → armed → applying → applied → confirmed
//	      └────────┴───────┴─────────┴────→ rolling-back → rolled-back | rollback-failed
//
// [Journal.Begin] writes down the plan and a snapshot of everything that can be
// locked, reserves the disk space of a rollback and rehearses it.
// [Journal.Start] arms the guard (a timer, and units for the next boot) and
// starts [Journal.Run] outside every session. [Journal.Confirm] ends it for
// good, with a nonce that only the desk which began it knows; the timer, the
// boot, a failed step or an operator end it with [Journal.Rollback]. Each
// transition is one rename of the state file under one lock, so exactly one of
// confirm and rollback wins, and whoever loses gets a [*StateError] with what
// the journal says.
//
// # Files
//
// The journal lies in one directory, root only, on a file system that is there
// when the firewall and sshd start:
//
//	lock                  flock(2): every transition and every claim
//	holder.json           whose run it is, until when
//	site.json             which site this server belongs to
//	txn/ID/plan.json      what is to be done, written once
//	txn/ID/state.json     the state, replaced by rename(2)
//	txn/ID/log.jsonl      what was begun and done, one event a line, each synced
//	txn/ID/snapshot.json  the login path as it was
//	txn/ID/more/          what else was about to be changed, saved before it was
//	txn/ID/kept/          what a rollback had to overwrite although it was not ours
//	txn/ID/reserve        disk space for the rollback
//	txn/ID/work           flock(2): who is applying or rolling back
//
// # What a rollback does
//
// Every step that was begun is undone in reverse by [server.Undo]. Then every
// file that the transaction touched is compared with the snapshot, byte by
// byte, owner and mode included, and put back if nobody else has changed it
// since. A file that somebody else has changed since is kept in kept/ and put
// back too if our step cannot be undone otherwise, because an unconfirmed
// transaction must end with working logins; if our part of it could be undone
// it is left and reported. At boot only files are put back, before anything
// reads them; what needs running services follows once they run.
//
// An undo that somebody asks for ([Journal.Undo]) is a transaction of its own
// and refuses where something else has changed since.
//
// If something fails, the transaction rolls back; if the rollback fails, it
// goes on with the next step, ends as [RollbackFailed] and keeps everything.
//
// # The last resort
//
// When everything of ours is undone and none of the ways in works that did
// before ([Door]), somebody else has closed them. Their files in the login path
// are moved aside into kept/ and reported, and what was there is put back. If
// that does not help either, holdfast-last-resort.service runs an sshd with one
// complete configuration that depends on no other file and not on PAM, in place of
// the server's own, and the transaction ends as [RollbackFailed]. It stays until
// another rollback succeeds or a person takes over with [Journal.Unlock].
//
// Not here: the forecast of who can log in (server/forecast) and the canary
// login before the live system is touched (server/canary), which both run
// before [Journal.Begin]; and single-use codes for proof logins, which are steps
// like any other.
package txn
