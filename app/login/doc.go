// Package login lets people in by login id and password, and tells whoever is not
// let in nothing: not by words, not by status, not by time (guide 4.3; OWASP ASVS
// 5.0, 6.3.1, 6.3.4 and 6.3.8).
//
//	service := &login.Service{
//		Accounts: store, Links: store, // from app/store
//		Hasher:   hasher,              // *password.Hasher
//		Throttle: limiter,             // *throttle.Limiter
//		LinkMail: func(a login.Account, token string) outbox.Mail { ... },
//	}
//	if err := service.Measure(ctx); err != nil { ... } // once, before serving
//
//	in, err := service.Login(ctx, login.Attempt{ID: id, Password: password, Addr: client, Device: cookie})
//	switch {
//	case err == nil:                          // in.Account, in.Device for the cookie
//	case errors.Is(err, login.ErrDenied):     // 403 and one text, whatever the reason
//	case errors.As(err, &many):               // 429, *throttle.TooManyError
//	case errors.Is(err, gate.ErrBusy):        // 503
//	default:                                  // 500
//	}
//
// # One answer at one time
//
// An unknown name, a wrong password, an account without a password, one that is
// switched off, one whose stored hash is broken, and one that is being hammered on
// get the same [ErrDenied], after at least the work of a wrong password on the
// preferred scheme, at one deadline. The guide's random sleep hides nothing: five
// requests for each name tell 24 ms apart through it. The deadline does: it is set
// by the slowest hash that is stored (a table imported with bcrypt 12 takes 280 ms,
// one of Argon2id 24 ms), which [Service.Measure] finds and times. Time spent
// waiting in the gate is added, since it depends on how busy the program is and not
// on the name; the wait for the deadline holds no place in the gate. When an
// answer misses the deadline all the same, it comes at the next multiple, and the
// deadline grows for everybody and then shrinks again slowly.
//
// The one thing that shows is success. [throttle.TooManyError] and gate.ErrBusy
// come at once, and do not depend on the name.
//
// # Upgrades
//
// A match with a hash that should be better is hashed again and swapped in one
// compare-and-swap. When the stored hash has changed meanwhile, by another login
// or by a change of the password, the login starts over with what is stored now:
// the old password does not get in any more, and never overwrites the new one.
//
// # Owners
//
// An account is never locked for its owner. A browser that has logged in before
// holds a device cookie and has attempts of its own (see package throttle). An
// owner without one gets a mail when the account's attempts are used up, with a
// link that is good once: the page behind it shows a button (mail scanners follow
// links), the button posts the token to [Service.OpenLink], which makes the browser
// a trusted one. The owner still needs the password: the link is no way around it.
// The mail goes to the stored address alone, through the outbox.
//
// # Login ids
//
// [ParseID] brings an id to one form; stores compare bytes. There is no look-alike
// that finds the account of somebody else (compare CVE-2019-19844).
//
// If the store or the limiter fails, Login fails and nobody is let in.
package login
