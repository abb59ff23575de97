package factor

import (
	"errors"
	"slices"
	"strings"
)

// Dir is where a server keeps the files of its admins, each under the account's
// name, root only: who has taken an admin's account can neither read the key nor
// replace it.
const Dir = "/var/lib/holdfast/factor"

// Path is the file of an account on a server.
func Path(account string) string { return Dir + "/" + account }

// settings are what pam_google_authenticator is told in a file: three tries in
// 30 seconds, codes that work once, and one step of the clock either way.
var settings = []string{"RATE_LIMIT 3 30", "WINDOW_SIZE 3", "DISALLOW_REUSE", "TOTP_AUTH"}

// A File is what pam_google_authenticator keeps of one account. The module writes
// it anew at every login.
type File struct {
	// Key is in base32, without padding.
	Key string
	// Options are the lines of settings, without their quotation mark: what was
	// set and, after it, what the module remembers of it.
	Options []string
	// Codes are the recovery codes that are left.
	Codes []string
}

// NewFile returns the file of a new enrolment.
func NewFile(e Enrolment) File {
	return File{Key: e.Text(), Options: slices.Clone(settings), Codes: slices.Clone(e.Recovery)}
}

// ParseFile reads a file. Its error holds no part of it.
func ParseFile(content string) (File, error) {
	first, rest, ok := strings.Cut(content, "\n")
	if !ok || first == "" || strings.Trim(first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return File{}, errors.New("it does not begin with a key in base32")
	}
	f := File{Key: first}
	for line := range strings.Lines(rest) {
		line, ended := strings.CutSuffix(line, "\n")
		option, isOption := strings.CutPrefix(line, `" `)
		switch {
		case !ended || isOption && (len(f.Codes) > 0 || len(strings.Fields(option)) == 0):
			return File{}, errors.New("it is not in the form of pam_google_authenticator")
		case isOption:
			f.Options = append(f.Options, option)
		case isRecovery(line):
			f.Codes = append(f.Codes, line)
		default:
			return File{}, errors.New("it is not in the form of pam_google_authenticator")
		}
	}
	return f, nil
}

// String is the inverse of [ParseFile].
func (f File) String() string {
	var b strings.Builder
	b.WriteString(f.Key + "\n")
	for _, o := range f.Options {
		b.WriteString(`" ` + o + "\n")
	}
	for _, c := range f.Codes {
		b.WriteString(c + "\n")
	}
	return b.String()
}

// Sound reports whether the settings are those that a new file has, whatever the
// module remembers beside them.
func (f File) Sound() bool {
	set := map[string]bool{}
	for _, o := range f.Options {
		set[setting(o)] = true
	}
	for _, s := range settings {
		if !set[s] {
			return false
		}
	}
	return len(set) == len(settings) && len(f.Options) == len(settings)
}

// setting is what was set in a line, less what the module remembers.
func setting(option string) string {
	words := strings.Fields(option)
	keep := 1
	switch words[0] {
	case "RATE_LIMIT":
		keep = 3
	case "WINDOW_SIZE":
		keep = 2
	case "DISALLOW_REUSE", "TOTP_AUTH":
	default:
		keep = len(words)
	}
	return strings.Join(words[:min(keep, len(words))], " ")
}

// Settings are what is set, for a person to read.
func (f File) Settings() string {
	var all []string
	for _, o := range f.Options {
		all = append(all, setting(o))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// Lend returns the file with single-use codes added, and with the logins of the
// last 30 seconds forgotten, so that the rate limit does not count those that
// came before.
func (f File) Lend(codes []string) File {
	f = f.TakeBack(codes)
	f.Codes = append(f.Codes, codes...)
	f.Options = slices.Clone(f.Options)
	for i, o := range f.Options {
		if strings.HasPrefix(o, "RATE_LIMIT ") {
			f.Options[i] = setting(o)
		}
	}
	return f
}

// TakeBack returns the file without some codes.
func (f File) TakeBack(codes []string) File {
	f.Codes = slices.DeleteFunc(slices.Clone(f.Codes), func(c string) bool { return slices.Contains(codes, c) })
	return f
}
