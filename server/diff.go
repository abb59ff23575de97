package server

import "github.com/aymanbagabas/go-udiff"

// Diff returns a change as a unified diff of its two states, for a person to
// read. States hold no secrets, so neither does it.
func Diff(c Change) string {
	return udiff.Unified("now", "wanted", terminated(c.Before), terminated(c.After))
}

// terminated ends a state with a line break, so that a diff does not speak of a
// missing one.
func terminated(s State) string {
	if s == "" || s[len(s)-1] == '\n' {
		return string(s)
	}
	return string(s) + "\n"
}
