// Package sshd knows how OpenSSH's daemon is told what to do, and reads it from
// a machine: its configuration files as an ordered list of lines ([Lines]),
// what they come to for one user and one address ([Effective]), the options on
// its command line ([Look]), the keys of accounts ([ParseAuthorizedKeys]), and
// what the daemon that is running now offers to a client ([ReadOffer]).
//
// Three rules of sshd's decide nearly everything here (sshd_config(5)):
//
//   - For each keyword the first value wins, in the order in which files are
//     included; an option on the command line comes before all files.
//   - When a connection matches a Match block, the block's values replace
//     global ones, wherever they stand; among matching blocks the first wins.
//     So a value is only safe if a Match block that always matches states it
//     before any other Match block does.
//   - A Match block ends with its file; what is included inside a Match block
//     counts only under its condition.
//
// The package only looks. If something cannot be read or sshd refuses its
// configuration, that is an error: it is never taken for a default.
package sshd
