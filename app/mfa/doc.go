// Package mfa is the second factor: time-based codes of an authenticator app
// (TOTP, RFC 6238) and recovery codes for the day on which the phone is gone (OWASP
// ASVS 5.0, 6.3.3, 6.5.1 to 6.5.5 and 6.6.3; SP 800-63B-4, 3.1.2 and 3.1.4).
//
//	second := &mfa.Service[*store.Store]{Store: store, Keys: ring, Throttle: limiter, Issuer: "To-do"}
//
//	// Enrolment, by somebody who is logged in: nothing is stored before the app
//	// has shown that it has the secret.
//	e, err := second.Enroll(account, "anna@example.org") // show e.URI as a QR code
//	codes, err := second.Confirm(ctx, account, e.Sealed, code)
//
//	// Login, after the password:
//	if on, err := second.Enabled(ctx, account); on {
//		token, err := second.Challenge(ctx, account, epoch) // into a cookie
//	}
//	// and with the next request, in any process:
//	passed, err := second.Answer(ctx, mfa.Answer{Token: token, Code: code, Addr: client})
//
// # Codes are good once
//
// The store keeps the latest time step whose code was taken and moves it forward by
// compare-and-swap in one statement. A code that somebody has read over a shoulder
// or from a proxy is refused within its own step too, by every process on the same
// database. One step of 30 seconds before and after the present one is taken, for
// clocks that are off.
//
// # Guessing
//
// A [Service.Challenge] allows five tries and ten minutes. Whoever has the password
// gets new challenges at will, so tries are counted for the account as well, before
// the code is looked at: ten at once, then one in six minutes, and after a hundred
// one a day. An account whose tries are used up still takes a recovery code, which
// cannot be guessed. Every refusal is [ErrDenied].
//
// # At rest
//
// Secrets of authenticator apps are encrypted by AES-256-GCM under a key of the ring
// and bound to their account, so that neither a copy of the database nor a row moved
// to another account is of use. When the ring rotates, a secret is encrypted anew at
// its next use, and [Service.Reseal] does the rest; then the old key may go. Where
// several processes serve, each gets the new secret among its previous ones first
// (see [keyring.New]) and then as its current one. Recovery codes have 120 random
// bits, so their SHA-256 is enough; each is removed by the statement that finds it.
//
// If the store, the limiter or the key of a secret fails, nobody passes: the
// second factor is never skipped.
package mfa
