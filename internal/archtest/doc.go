// Package archtest keeps the house rules of this repository: which package may
// import which, and what our own sources must and must not contain. Each rule
// stands in a table beside its reason; a package without a rule fails, so that
// none is added by accident.
//
// The tests read the sources themselves with go/parser. They do not ask the go
// command, whose answers come from a cache that does not see what a child
// process reads.
//
// If a source file cannot be parsed, the tests fail.
package archtest
