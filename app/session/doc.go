// Package session remembers who is logged in.
//
// If the store fails, nobody is taken for logged in and the request is refused.
package session
