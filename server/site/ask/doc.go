// Package ask asks a person in a terminal for what a first site file needs. It
// is apart from package site so that only the program at the desk carries a form
// library.
//
// In a terminal the questions are forms. Where input or output is no terminal,
// where TERM is dumb or where ACCESSIBLE is set, they are plain lines with
// numbered choices, which a screen reader can read and a script can answer. A
// passphrase is only ever asked in a terminal, without echo.
//
// If asking fails or is broken off, no answers are returned; a key that was made
// on the way stays where it is, because it may have been copied already.
package ask
