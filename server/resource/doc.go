// Package resource holds the kinds of things that controls are made of: files,
// directories, links, packages, accounts, passwords, units, running daemons, PAM
// profiles and tables of nftables. Each is plain data with a wanted state
// ([server.Resource]); the compare-and-set around it is package server's.
//
// Every kind keeps the same promises. Set does one thing at a time and may be
// called again after any error; a host that shows the state already is not
// written to. Setting the state that was there before puts back the very bytes,
// permissions and owners. What a state cannot hold, because it is secret or
// because the system forgets it, is kept in the vault, a root-only directory
// under [server.StateDir], before anything changes. Replaced passwords stay
// there, because an undo can be undone; the rest is thrown away once it has been
// put back.
//
// [Encode] and [Decode] turn a resource into a [Spec] and back, so that a
// journal can undo it after the process that set it is gone. Secrets are not
// part of a Spec.
//
// If a command fails, its error is returned and nothing is guessed: the state
// is read again by whoever asked. If a host shows something that a kind cannot
// put back, such as a directory where a file is wanted, Get fails and nothing
// is changed.
package resource
