// Package support is what staff may do for somebody who calls (guide 4.9; OWASP ASVS
// 5.0, 6.4.6 and 6.6.1 to 6.6.3): mail a link for a new password to the stored
// address, and find out whether the caller is the account's owner, by a code that is
// sent to the stored address or phone and read back.
//
//	desk := &support.Service[*store.Store]{
//		Store: store, Keys: ring, Resets: resets, // *recovery.Service
//		SMS: &twilio.Client{...}, Program: "To-do", Actions: []support.Action{"read to-dos"},
//	}
//	id, err := desk.Open(ctx, staff, account, "cannot find a to-do", "read to-dos")
//	err = desk.SendCode(ctx, staff, id, support.SMS)
//	err = desk.Confirm(ctx, staff, id, code)                  // what the caller has read out
//	account, err := desk.Allow(ctx, staff, id, "read to-dos") // before the page is shown
//
// Nothing here takes a password, and nothing here changes a password, a second factor,
// a login id, an address or a phone: the interfaces of the store have no methods for
// it, so code that tried would not compile. Who is staff is decided before, by
// package access; staff is the key of the account of the one who acts, and never
// comes from a form.
//
// # Codes
//
// A code that is read out to a stranger is what swindlers ask for. So its text says
// what it is for; it belongs to one case and the one member of staff who has opened
// it; it is good once, for at most ten minutes and five tries; three are sent for a
// case at most; the store has only a keyed hash of it. It opens the actions that the
// case names, for a short time, and nothing else: no login takes it, for it is
// neither a password nor a second factor nor the token of a link.
//
// # Acts
//
// Everything that is done or refused is an [Act] of the case, recorded in the same
// transaction; what cannot be recorded does not happen.
//
// If the store fails, nothing is allowed. If a message cannot be sent, SendCode fails
// and the code that nobody got is of no use to anybody.
package support
