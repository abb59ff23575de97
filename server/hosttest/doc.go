// Package hosttest tests what implements the interfaces of package server, and
// gives tests a host to work on.
//
//   - [TestHost] is what every [server.Host] must pass.
//   - [TestResource] is what every kind of resource must pass. It fails each
//     call that a resource makes, in three ways.
//   - [Host] is a host in memory. It keeps files, packages and units, prints
//     itself, and fails on demand. [Debian] returns one that looks like a new
//     server.
//
// The programs of a [Host] imitate real ones: they do enough for the callers in
// this house to be swept through all faults, in the form and with the words of
// the real programs. That the real ones behave so is shown on servers of the lab,
// never here. If a Host is asked for a program that it does not know, the test
// fails.
package hosttest
