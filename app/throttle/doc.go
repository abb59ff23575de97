// Package throttle slows down whoever guesses passwords, without telling them
// anything and without locking the owner of an account out (guide 4.3; OWASP ASVS
// 5.0, 2.4.1, 6.1.1 and 6.3.1; SP 800-63B-4, 3.2.2).
//
// An attempt is counted before the password is verified, so that a thousand
// parallel guesses verify no more than a slow one after the other:
//
//	limiter := &throttle.Limiter{Store: store, Keys: ring}
//
//	ticket, err := limiter.Reserve(ctx, throttle.Attempt{Name: id, Addr: client, Device: cookie})
//	var many *throttle.TooManyError
//	if errors.As(err, &many) {
//		// 429 at once: this network asks too often, whatever name it asks for
//	}
//	if ticket.Locked() {
//		// compute one dummy hash and refuse like a wrong password
//	}
//	// verify; after a match:
//	err = ticket.Refund(ctx)
//
// Package login does all of this.
//
// # Three counters
//
//   - The network, one IPv4 address or one IPv6 /64. When it is used up, Reserve
//     fails with [TooManyError], for every name alike.
//   - The account, for names that do not exist too. When it is used up, the ticket
//     is locked: the answer has to be that of a wrong password and to take as long.
//   - The device. A browser in which the owner has logged in before holds a cookie
//     (OWASP, Slow Down Online Guessing Attacks with Device Cookies). Its attempts
//     have a counter of their own, so the owner gets in while somebody else hammers
//     on the account. When that counter is used up, the cookie counts for nothing
//     and the attempt is one of the account again.
//
// Each counter is a bucket: Burst attempts at once, then one in each interval. A
// successful login takes back its own attempt and nothing else. An owner without
// a cookie asks for one by a mailed link; package login sends it.
//
// # Bounds
//
// Names and addresses are made up by the million. Counters therefore live in a
// fixed number of buckets, chosen by a keyed hash of the name or the network, and
// a bucket that is full again is dropped by [Limiter.Prune]: at the defaults there
// are never more than 2^19 rows. Two names may share a bucket; with the default of
// 2^17 for accounts, an attack on a thousand names at a time makes one owner in 131
// use the cookie or the link. Nobody can compute such a neighbour without the key.
// Rotating the key ring starts all counters anew; device cookies stay valid.
//
// If the store fails, Reserve fails and nobody is let through: an attempt that
// cannot be counted is not verified.
package throttle
