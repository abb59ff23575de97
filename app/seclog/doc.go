// Package seclog is the log of security events: who did what to whom, when, from
// where, and how it ended (guide 4; OWASP ASVS 5.0, 16.2.1 to 16.4.3).
//
//	events := &seclog.Log{Store: store, Keys: ring, Logger: logger, OnHead: ship}
//	err = events.Record(ctx, seclog.Event{What: "login", Outcome: seclog.Refused, Who: key, Addr: client})
//
//	report, err := seclog.Verify(ctx, store, ring, kept...) // heads that were kept elsewhere
//
// # The chain
//
// Each entry is one line of JSON. Its hash (SHA-256) covers the line, its number and
// the hash of the entry before it; its MAC, by a key of the ring, covers number and
// hash. Number, hash and MAC together are a [Head]: one short line that may be
// published. [Verify] finds a line that was deleted, changed or put elsewhere, and a
// chain that was written anew by somebody without the ring. Whoever has the ring
// too, which is the program itself and what runs as it, can write a whole chain anew
// or cut off its end; that shows against any head that was kept elsewhere before. So
// heads have to leave the machine: through Logger, whose records carry them, or
// through OnHead. What is lost when nobody keeps one is the end of the chain.
//
// Old entries are dropped by [Store.DropEntries]; the head of the last dropped one
// is kept and given to Verify, which then begins after it.
//
// # People
//
// Lines and slog records name people by a pseudonym, a keyed hash of the account's
// key: whoever reads the log, or a copy of it elsewhere, does not learn who they are,
// and two entries of one person still belong together. [Log.Pseudonyms] finds
// somebody's entries. After a rotation of the ring a person has a new one.
//
// # Text
//
// What comes from outside is bounded and shown with its control characters, line
// separators, direction marks and broken UTF-8 escaped, in the line and in slog: no
// name can begin a line of its own, or look like another field. An event takes no
// values but text, a number of fields, and no secrets: a password, a token or a
// login id that was typed does not belong in it.
//
// If the store fails, Record fails; the event still goes to Logger, at level error,
// marked as not stored: twice rather than never. Whether the act goes on is the
// caller's decision; [Log.In] puts both into one transaction.
package seclog
