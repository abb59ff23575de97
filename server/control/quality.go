package control

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// A demand is one setting of pwquality.conf(5) that passwords must meet.
type demand struct {
	name string
	want int
	// compare says which other values are good enough.
	compare comparison
}

type comparison int

const (
	atLeast comparison = iota
	atMost
	exactly
)

// guideDemands are those of guide 3.4; pwquality counts a demanded number of
// characters as a negative credit.
var guideDemands = []demand{
	{"retry", 3, atMost},
	{"minlen", 10, atLeast},
	{"difok", 3, atLeast},
	{"ucredit", -1, atMost},
	{"lcredit", -2, atMost},
	{"dcredit", -1, atMost},
	{"ocredit", -1, atMost},
	{"dictcheck", 1, atLeast},
	{"usercheck", 1, atLeast},
	{"enforcing", 1, atLeast},
}

// nistDemands are those of NIST SP 800-63B-4: long passwords and no rules on
// what they are composed of.
var nistDemands = []demand{
	{"retry", 3, atMost},
	{"minlen", 15, atLeast},
	{"difok", 3, atLeast},
	{"ucredit", 0, exactly},
	{"lcredit", 0, exactly},
	{"dcredit", 0, exactly},
	{"ocredit", 0, exactly},
	{"minclass", 0, exactly},
	{"dictcheck", 1, atLeast},
	{"usercheck", 1, atLeast},
	{"enforcing", 1, atLeast},
}

func demandsOf(rules server.PasswordRules) []demand {
	if rules == server.PasswordsNIST {
		return nistDemands
	}
	return guideDemands
}

// met reports whether value is good enough.
func (d demand) met(value int) bool {
	switch d.compare {
	case atLeast:
		return value >= d.want
	case atMost:
		return value <= d.want
	}
	return value == d.want
}

// A qualitySetting is one line of a pwquality.conf, or one argument of the module.
type qualitySetting struct {
	name  string
	value int
	// isNumber is false for flags and words.
	isNumber bool
}

// readSetting reads one line; ok is false if it sets nothing.
func readSetting(line string) (s qualitySetting, ok bool) {
	line, _, _ = strings.Cut(line, "#")
	name, value, _ := strings.Cut(line, "=")
	s.name = strings.TrimSpace(name)
	n, err := strconv.Atoi(strings.TrimSpace(value))
	s.value, s.isNumber = n, err == nil
	return s, s.name != ""
}

// strictest raises the demands to what the machine's own settings demand
// already, so that adding ours never makes a rule weaker.
func strictest(demands []demand, own []qualitySetting) []demand {
	all := slices.Clone(demands)
	for i := range all {
		for _, s := range own {
			if s.name == all[i].name && s.isNumber && all[i].met(s.value) {
				all[i].want = s.value
			}
		}
	}
	return all
}

// tooWeak reports whether a setting that wins over ours asks for less.
func tooWeak(demands []demand, s qualitySetting) bool {
	return slices.ContainsFunc(demands, func(d demand) bool { return d.name == s.name && !(s.isNumber && d.met(s.value)) })
}

// qualityFile is the content of our file.
func qualityFile(demands []demand) string {
	var b strings.Builder
	b.WriteString("# Rules for new passwords, kept by Holdfast (guide 3.4).\n")
	for _, d := range demands {
		fmt.Fprintf(&b, "%s = %d\n", d.name, d.want)
	}
	b.WriteString("enforce_for_root\n")
	return b.String()
}

// withoutWeak puts a comment sign before the lines that ask for less.
func withoutWeak(demands []demand, content string) string {
	var b strings.Builder
	for line := range strings.Lines(content) {
		if s, ok := readSetting(line); ok && tooWeak(demands, s) {
			b.WriteString("# ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// settingsOf reads all settings of a file.
func settingsOf(content string) []qualitySetting {
	var all []qualitySetting
	for line := range strings.Lines(content) {
		if s, ok := readSetting(line); ok {
			all = append(all, s)
		}
	}
	return all
}
