package control

import (
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server/sshd"
)

// within is a limit that holds for values from least to most; sshd's units of
// time are understood.
func within(least, most int) func(string) bool {
	return func(value string) bool {
		n, ok := seconds(value)
		return ok && n >= least && n <= most
	}
}

// seconds reads a number or a time such as 1m30s (sshd_config(5)).
func seconds(value string) (int, bool) {
	units := map[rune]int{'s': 1, 'm': 60, 'h': 60 * 60, 'd': 24 * 60 * 60, 'w': 7 * 24 * 60 * 60}
	total, digits := 0, ""
	for _, c := range strings.ToLower(value) {
		if unit, ok := units[c]; ok {
			n, err := strconv.Atoi(digits)
			if err != nil || n > 1<<30/unit {
				return 0, false
			}
			total, digits = total+n*unit, ""
			continue
		}
		digits += string(c)
	}
	if digits == "" {
		return total, value != ""
	}
	n, err := strconv.Atoi(digits)
	return total + n, err == nil && n >= 0
}

// fewStartups accepts MaxStartups values of at most 10:30:60.
func fewStartups(value string) bool {
	parts := strings.Split(value, ":")
	numbers := make([]int, len(parts))
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return false
		}
		numbers[i] = n
	}
	switch len(numbers) {
	case 1:
		return numbers[0] > 0 && numbers[0] <= 10
	case 3:
		return numbers[0] <= 10 && numbers[1] >= 30 && numbers[2] <= 60
	}
	return false
}

// loud accepts log levels that name the key of a login.
func loud(value string) bool {
	return slices.Contains([]string{"VERBOSE", "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3"}, strings.ToUpper(value))
}

// adopt gives the limits in want the value that the host's own files give them,
// where that is as strict: a drop-in must never loosen what is there.
func adopt(want []setting, lines []sshd.Line) []setting {
	want = slices.Clone(want)
	for i, s := range want {
		if s.strict == nil {
			continue
		}
		for _, l := range lines {
			if own(l.File) || l.Keyword != s.keyword() || len(l.Matches) > 0 {
				continue
			}
			if s.strict(l.Value()) {
				want[i].value = l.Value()
			}
			break // sshd takes the first
		}
	}
	return want
}
