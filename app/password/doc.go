// Package password hashes passwords and verifies them (guide 4.3 to 4.3.2).
//
// The zero [Hasher] is ready to use: Argon2id with 19 MiB, two passes and one
// lane, a fresh random salt of 128 bits for each hash, and at most as many hashes
// at a time as a [gate.Gate] allows.
//
//	var hasher password.Hasher
//	stored, err := hasher.Hash(ctx, "correct horse battery staple")
//	result, err := hasher.Verify(ctx, stored, "correct horse battery staple")
//	// result.Match, and result.Upgrade if it should be hashed again
//
// # Coming from weaker hashes
//
// [Hasher.Legacy] lists what else is verified; [Legacy] returns everything that
// this package knows. A match with a hash of another scheme, or of the preferred
// scheme with another cost, has [Result.Upgrade] set: the program hashes the
// password again and replaces what is stored, if it still is what was verified.
// [Hasher.Wrap] does not wait for the login: it turns a stored md5(x) into
// argon2id(md5(x)), for a whole table in one offline run (see the command in
// password/wrap), and is unwrapped by the upgrade at the next login.
//
// A scheme of one's own is a [Verifier], or a [Scheme] if it also makes hashes.
//
// # Costs
//
// A stored hash states its own cost, and an imported one may state any: each
// scheme refuses one above its documented bound before it computes anything.
// Hashing below the recommended cost is refused too, unless the scheme says
// InsecureWeak.
//
// # Text
//
// Passwords are prepared by the OpaqueString profile of PRECIS (RFC 8265, NFC as
// in SP 800-63B-4): the same password typed on two keyboards is one password. A
// hash that another program made of the raw bytes still matches those.
//
// # Pepper
//
// With [Hasher.Pepper] the password goes through HMAC-SHA-256 under a key that is
// not in the database before it is hashed. The stored hash names the key, so that
// keys rotate; a hash under an older key is upgraded at login.
//
// If a hash cannot be read, is too costly, or names a scheme or a key that the
// hasher does not have, Verify fails with an error and does not match.
package password
