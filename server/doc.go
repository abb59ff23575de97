// Package server is the domain of Holdfast's first part, Server Security: the
// words that plan, apply, audit and undo are made of, and the engine that
// carries them out. Everything else under server/ implements an interface that
// is declared here or feeds it with data.
//
// Four concepts carry all of it:
//
//   - A [Reader] looks at a machine and a [Host] also changes it. What must not
//     change anything is given a Reader: looking is a type, not a flag. A
//     [Rehearser] lends a private copy of the machine, a [World], in which
//     changes are tried for real and thrown away.
//   - A [Resource] is the smallest thing that has a wanted state: a file, a
//     package, an account. It only knows how to get and to set its state.
//     [Check], [Apply] and [Undo] are written once for all kinds, as
//     compare-and-set with read-back.
//   - A [Control] is one protection from one section of the guide, as data: why
//     it exists, which resources it wants on a given server, and the proofs
//     that the running system must give.
//   - A transaction (package server/txn) is one guarded run of changes.
//
// [MakePlan] asks every control what it wants on a machine and tries each
// change in a World, so that a later control sees what an earlier one will
// leave behind and the plan shows results that really came about, not
// predictions. [Audit] is a plan that nobody applies, plus the proofs, so what
// apply does and what audit says cannot drift apart.
//
// If something cannot be told, that is an error and the verdict is
// [Unknown]: it is never taken for "not so". If a host shows a state that the
// plan did not, nothing is overwritten ([DriftError]).
package server
