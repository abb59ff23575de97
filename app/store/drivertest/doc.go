// Package drivertest runs the stores and the login on real databases: SQLite, and
// MariaDB and PostgreSQL servers that it starts from Debian's packages in
// directories of their own, listening on a Unix socket alone, and stops again.
//
// It is a module of its own, so that no driver enters the module graph of a program
// that wants one of the packages.
//
//	for _, kind := range drivertest.Kinds {
//		t.Run(string(kind), func(t *testing.T) {
//			server := drivertest.Require(t, kind)
//			store := drivertest.Store(t, server)
//
// If the packages of a server are not installed, the test is skipped, or fails if
// the variable HOLDFAST_MUST_RUN is 1. If a server does not start, the test fails
// with what the server said.
package drivertest
