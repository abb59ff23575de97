package accounts

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// How many fields a line has.
const (
	passwdFields = 7
	shadowFields = 9
)

// ParseAccount returns what the content of /etc/passwd says of an account, and
// whether it has a line. Of several lines the first counts, as in getpwnam(3); a
// line that is not in passwd(5)'s format is an error.
func ParseAccount(content, account string) (a Account, found bool, err error) {
	f, found, err := line(content, account, passwdFields)
	if err == nil && found {
		a, err = newAccount(f)
	}
	if err != nil {
		return Account{}, false, err
	}
	return a, found, nil
}

func newAccount(f []string) (Account, error) {
	uid, err := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	if err != nil || err2 != nil {
		return Account{}, fmt.Errorf("the line of %s has %q and %q for numbers", f[0], f[2], f[3])
	}
	a := Account{Name: f[0], UID: uid, GID: gid, Home: f[5], Shell: f[6], Shadowed: f[1] == "x"}
	a.Aging = Shadow{}.Aging()
	a.judge(f[1])
	return a, nil
}

// A Shadow is an account's line in /etc/shadow, field by field. Days are counted
// from 1970; an empty field means that there is no such day or number of days.
type Shadow struct {
	Account string
	// Hash is the password field.
	Hash string
	// Changed is the day of the last change; 0 asks for a new one.
	Changed string
	// Min and Max are the days before and after which the password is changed,
	// Warn and Inactive those before and after Max in which its owner is warned
	// and may still change it.
	Min, Max, Warn, Inactive string
	// Expires is the day on which the account ends.
	Expires string
}

// ParseShadow returns what the content of /etc/shadow says of an account, and
// whether it has a line. A line that is not in shadow(5)'s format is an error.
func ParseShadow(content, account string) (s Shadow, found bool, err error) {
	f, found, err := line(content, account, shadowFields)
	if err != nil || !found {
		return Shadow{}, false, err
	}
	s = newShadow(f)
	for _, day := range []string{s.Changed, s.Max, s.Expires} {
		if day == "" {
			continue
		}
		if _, err := strconv.ParseInt(day, 10, 64); err != nil {
			return Shadow{}, false, fmt.Errorf("the line of %s has %q for a day", account, day)
		}
	}
	return s, true, nil
}

// newShadow takes fields that are missing for empty.
func newShadow(f []string) Shadow {
	var all [shadowFields]string
	copy(all[:], f)
	return Shadow{all[0], all[1], all[2], all[3], all[4], all[5], all[6], all[7]}
}

// Aging returns the line's days as numbers.
func (s Shadow) Aging() Aging {
	return Aging{Changed: number(s.Changed), MaxAge: number(s.Max), Inactive: number(s.Inactive), Expires: number(s.Expires)}
}

// An Aging is how long a password and its account last. Days are counted from
// 1970.
type Aging struct {
	// Changed is the day of the last change of the password; 0 means that it
	// must be changed at the next login and -1 that it does not age.
	Changed int
	// MaxAge is the number of days after which it must be changed, -1 for never.
	MaxAge int
	// Inactive is the number of days after those in which it may still be
	// changed, -1 for no end.
	Inactive int
	// Expires is the day on which the account expires, -1 for never.
	Expires int
}

// Day is the day of a moment, as /etc/shadow counts.
func Day(t time.Time) int { return int(t.Unix() / (24 * 60 * 60)) }

// MustChange reports whether the next login begins with a new password, because
// somebody asked for that.
func (a Aging) MustChange() bool { return a.Changed == 0 }

// TooOld reports whether a login on day begins with a new password because of
// the age of the one that there is.
func (a Aging) TooOld(day int) bool {
	return a.Changed > 0 && a.MaxAge >= 0 && day > a.Changed+a.MaxAge
}

// Lapsed reports whether the password is so old on day that it cannot even be
// changed.
func (a Aging) Lapsed(day int) bool {
	return a.Changed > 0 && a.MaxAge >= 0 && a.Inactive >= 0 && day > a.Changed+a.MaxAge+a.Inactive
}

// Expired reports whether the account has come to its end on day.
func (a Aging) Expired(day int) bool { return a.Expires >= 0 && day >= a.Expires }

// line returns the fields of the first line of a file whose first field is name,
// as the C library finds it, and whether there is one. Another number of fields
// is an error.
func line(content, name string, fields int) ([]string, bool, error) {
	for line := range strings.SplitSeq(content, "\n") {
		first, _, _ := strings.Cut(line, ":")
		if first != name {
			continue
		}
		all := strings.Split(line, ":")
		if len(all) != fields {
			return nil, false, fmt.Errorf("the line of %s has %d fields, not %d", name, len(all), fields)
		}
		return all, true, nil
	}
	return nil, false, nil
}

// lines splits a file into the fields of its lines and drops lines with fewer
// than n.
func lines(content string, n int) [][]string {
	var all [][]string
	for line := range strings.Lines(content) {
		if f := strings.Split(strings.TrimRight(line, "\n"), ":"); len(f) >= n && f[0] != "" {
			all = append(all, f)
		}
	}
	return all
}

// number is a field as a number, -1 if it is empty or none.
func number(field string) int {
	if n, err := strconv.Atoi(field); err == nil {
		return n
	}
	return -1
}

// hash matches the fields that crypt(5) makes: its own methods, BSDi's and the
// traditional one.
var hash = regexp.MustCompile(`^(\$[0-9a-z]+\$[^:*!]*|_[./0-9A-Za-z]{19}|[./0-9A-Za-z]{13})$`)

// Judge says what a password field means.
func Judge(field string) Password {
	switch {
	case field == "":
		return Empty
	case strings.HasPrefix(field, "!"):
		if hash.MatchString(strings.TrimLeft(field, "!")) {
			return Locked
		}
	case strings.HasPrefix(field, "$1$"), hash.MatchString(field) && field[0] != '$':
		return Weak
	case hash.MatchString(field):
		return Usable
	}
	return None
}

func (a *Account) judge(field string) {
	a.Password, a.Barred = Judge(field), strings.HasPrefix(field, "!")
}
