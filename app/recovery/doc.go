// Package recovery gives a person a new password, and confirms mail addresses, by
// links that are mailed (guide 4.9; OWASP ASVS 5.0, 6.3.8, 6.4.1, 6.4.3, 6.5.5, 7.4.3
// and 14.2.1; SP 800-63B-4, 4.2).
//
//	service := &recovery.Service[*store.Store]{
//		Store: store, Hasher: hasher, Throttle: limiter,
//		ResetURL: "https://todo.example.org/reset",
//		Mail:     func(a login.Account, link string) outbox.Mail { ... },
//		Notice:   func(a login.Account) outbox.Mail { ... },
//	}
//	if err := service.Check(); err != nil { ... } // once, before serving
//
//	err := service.Request(ctx, typed, client) // nil: "if there is an account, a mail is on its way"
//	mux.Handle("/reset", service.Handler(page))
//
// # The same answer for everybody
//
// [Service.Request] returns nil for an account, for a name that has none, for one
// that is switched off and for one that was sent enough mails, and it returns at one
// deadline. The mail waits in the outbox. The one other answer is
// [throttle.TooManyError], which depends on the network and not on the name.
//
// # Links
//
// A link is good once and for a short time. The store knows its SHA-256 alone. It
// points below [Service.ResetURL], which comes from the configuration: the Host of a
// request is never looked at. The GET of a link takes the token out of the URL, into
// a cookie for this path, and shows a form; it changes nothing, since mail scanners
// follow links. Only the POST spends the token. A password that the policy refuses
// spends nothing either.
//
// # One transaction
//
// Spending the token, setting the hash, dropping the account's other tokens, ending
// its sessions and queueing the notice happen together or not at all. Of two clicks
// on one link one wins. The second factor stays: whoever reads somebody's mail does
// not get in by that. A reset logs nobody in.
//
// If the store, the hasher or the policy fails, nothing has changed, and the link is
// still good.
package recovery
