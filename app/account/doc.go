// Package account joins the others into what a person does with an account: register,
// log in with a second factor, change password, address, phone and factor, lose the
// second factor, take the data along, and leave (guide 4; OWASP ASVS 5.0, 6.2.2,
// 6.2.3, 6.3.7, 6.3.8, 7.5.1 and 14.2.7).
//
//	accounts := &account.Service[*store.Store]{
//		Store: store, Login: in, Second: second, Hasher: hasher, Throttle: limiter,
//		Program: "To-do", BaseURL: "https://todo.example.org",
//	}
//	if err := accounts.Check(); err != nil { ... } // once, before serving
//
// The login id is the mail address. Who acts is a parameter, [Who]: a session of
// package session is one, and there is no way to make one from what a form sends.
//
// # The same answer for known and unknown
//
// Register and RequestMail answer nil whether the address has an account or not, at
// one deadline; the difference is in the mail. There are no accounts with addresses
// that nobody has confirmed: registration mails a link, and the password is chosen
// behind it, so nobody waits in an account with a password of theirs until the owner
// of the address confirms it.
//
// # Step-up
//
// Changes of credentials, export and closing want a proof that is fresh ([Fresh]) and
// holds the second factor if the account has one; otherwise they fail with
// [ErrStepUp]. [Service.StepUp] checks one; the program then rotates the session with
// what it returns. ChangePassword wants the present password as well.
//
// # A lost second factor
//
// Recovery codes are for that. Without them the owner, who has the password, starts
// a wait of 72 hours ([LossDelay]), which is announced by mail with a link that
// cancels it; any use of the second factor cancels it too. Only after that time,
// with the password once more, is the factor removed.
//
// # Notices
//
// Each change of credentials is told to the stored address in the transaction that
// makes it; a change of the address is told to the old one.
//
// There is no way to act as somebody else: support staff see what a user has allowed
// (see package support), under their own name. Accounts of several tenants, and
// identities of other providers, are not there yet; an account without a password is
// what they will use.
//
// If the store or another part fails, nothing has changed.
package account
