// Package desk reaches servers over SSH from where the operator sits.
//
// A [Desk] holds what all servers share: the site's known_hosts file, the keys
// and passwords of this run, and the [Prompter] that asks for them. [Desk.Dial]
// logs in to a [Target] and gives a [Conn]; [Conn.Start] becomes root there,
// brings the daemon along if it is missing and gives a [Session], which speaks
// package protocol. [Desk.Prove] and [Desk.Try] are the fresh logins by which a
// guarded run convinces itself, of the server or, by [Target.Through], of what a
// plan would make of it ([Session.Connect]). [Each] works on many servers side by side.
//
// How it reaches one:
//
//   - Every connection is new, with a key exchange of its own; none is shared.
//   - A host key is pinned under the server's name in the site's known_hosts
//     file once somebody has accepted its fingerprint. Another key later is a
//     [*HostKeyChangedError] and stops everything.
//   - ~/.ssh/config is honoured as `ssh -G` understands it, and so are the agent
//     and encrypted key files. A jump host is another target or comes from there.
//   - Of an account whose public keys are known only those are offered, at most
//     [maxOffered] of others. A login that fails costs: newer daemons make the
//     address wait. So at most two accounts are tried, and the one that worked is
//     remembered.
//   - The password for sudo is sent only after sudo has printed a prompt that
//     this run made up, and only once.
//   - The daemon lies under its own hash, root's alone. One exec finds it,
//     receives it if it is missing, and starts it.
//
// Nothing here waits for ever: each phase has a deadline of its own
// ([*TimeoutError]), which stands still while somebody is being asked. What a
// server says is cleaned of terminal escapes before it gets into an error.
//
// If a connection is lost, nothing is repeated: the error is a [*LostError] and
// the state of the server is to be looked up over a new connection.
package desk
