// Package chaos shows that nobody is locked out: its test injects faults into
// guarded runs of the real desk against real servers of a lab, at each
// transition and at many steps, and looks at every server afterwards.
//
// After each fault, whatever it was:
//
//   - somebody logs in with OpenSSH and becomes root: the admin if the changes
//     were kept, root as before if they were not
//   - the tree of the server (see [lab.Tree]) is that of the state which its
//     journal names, never a mixture
//   - the exit status of the desk says what the journal says
//   - no unit, timer, port, draft or account of the guard remains
//
// There are three states: stock, with packages (a transaction of its own, which
// the same run confirms first), and secured. The states are told apart by trees
// that were taken when nothing went wrong; hashes of passwords are made anew by
// each apply, so of /etc/shadow everything but these is compared in the last one.
//
// `make chaos` runs all of it within 40 minutes, on two servers of each release,
// one of which has ssh.socket; HOLDFAST_CHAOS=quarter does a quarter of it on one
// server of each. If something is not as it must be, the test fails with the case, the
// journal and what the desk said; the server is made new and the test goes on.
//
// Not here: a clock that jumps, because the servers of a lab have the clock of
// the machine (the journal counts seconds since boot; its own tests jump), and
// each single write that fails, which the tests of package txn go through in
// memory.
//
// [lab.Tree]: https://pkg.go.dev/github.com/holdfast-security/holdfast/server/lab#Tree
package chaos
