package site

import (
	"fmt"
	"strings"
)

// A Problem is one thing in a site file that has to be written differently.
type Problem struct {
	// File is the file as it was named to [Load].
	File string `json:"file"`
	// Line and Column are where the problem stands; both count from 1.
	Line   int `json:"line"`
	Column int `json:"column"`
	// What is wrong. It never holds the content of a key or a secret.
	What string `json:"what"`
	// Instead is what to write, such as "write port: 22".
	Instead string `json:"instead"`
}

// String gives the problem as FILE:LINE:COLUMN: WHAT; INSTEAD.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s; %s", p.File, p.Line, p.Column, p.What, p.Instead)
}

// Problems are all problems of a file, sorted by line and column. There is at
// least one.
type Problems struct {
	List []Problem `json:"problems"`
}

// Error gives one problem in each line.
func (p *Problems) Error() string {
	lines := make([]string, len(p.List))
	for i, one := range p.List {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}
