// Sessionbench measures how long it takes to find out whose session a request
// belongs to, beside github.com/alexedwards/scs in the same run: in memory and in
// SQLite, with 10,001 sessions. It prints a table and exits with 1 if something
// could not be measured.
//
// If a look-up fails, the measurement ends with that error.
package main
