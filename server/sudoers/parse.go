package sudoers

import (
	"slices"
	"strconv"
	"strings"
)

// parser walks over the text of a file. Each of its methods starts at the
// first byte that it has not consumed yet.
type parser struct {
	s  string
	at int
	f  File
}

func (p *parser) line(at int) int { return 1 + strings.Count(p.s[:at], "\n") }

// rest is what has not been consumed.
func (p *parser) rest() string { return p.s[p.at:] }

// peek is the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.at < len(p.s) {
		return p.s[p.at]
	}
	return 0
}

func (p *parser) has(prefix string) bool { return strings.HasPrefix(p.rest(), prefix) }

// continued is the length of a backslash with the line break after it, 0 if
// there is none. Blanks between the two are allowed, as in sudo.
func (p *parser) continued() int {
	rest := p.rest()
	if !strings.HasPrefix(rest, `\`) {
		return 0
	}
	trimmed := strings.TrimLeft(rest[1:], " \t\r")
	if !strings.HasPrefix(trimmed, "\n") {
		return 0
	}
	return len(rest) - len(trimmed) + 1
}

// blanks skips blanks and continued line ends.
func (p *parser) blanks() {
	for {
		if c := p.peek(); c == ' ' || c == '\t' || c == '\r' {
			p.at++
		} else if n := p.continued(); n > 0 {
			p.at += n
		} else {
			return
		}
	}
}

// ended reports whether the entry is over: end of the text, of the line, or a
// comment. A '#' before a digit or a minus sign is a number.
func (p *parser) ended() bool {
	switch p.peek() {
	case 0, '\n':
		return true
	case '#':
		return !p.number()
	}
	return false
}

func (p *parser) number() bool {
	rest := strings.TrimPrefix(p.rest(), "#")
	rest = strings.TrimPrefix(rest, "-")
	return rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// skipLine consumes the line and its end. Comments do not go on after a
// backslash.
func (p *parser) skipLine() {
	if i := strings.IndexByte(p.rest(), '\n'); i >= 0 {
		p.at += i + 1
	} else {
		p.at = len(p.s)
	}
}

// skipEntry consumes an entry that was not understood, continued lines
// included.
func (p *parser) skipEntry() {
	for p.at < len(p.s) && p.peek() != '\n' {
		if n := p.continued(); n > 0 {
			p.at += n
		} else {
			p.at++
		}
	}
	p.skipLine()
}

// entry consumes one entry and the end of its line.
func (p *parser) entry() {
	start := p.at
	p.blanks()
	if p.include() {
		return
	}
	if p.ended() {
		p.skipLine()
		return
	}
	entry := p.at
	loose, rules := len(p.f.Loose), len(p.f.Rules)
	var ok bool
	switch {
	case p.keyword("Defaults", " \t\r\\:@>!\n"):
		ok = p.defaults()
	case p.alias():
		p.skipEntry()
		return
	default:
		ok = p.rule()
	}
	p.blanks()
	if !ok || !p.ended() {
		p.f.Loose, p.f.Rules = p.f.Loose[:loose], p.f.Rules[:rules]
		p.f.Unread = append(p.f.Unread, p.line(entry))
		p.at = start
		p.skipEntry()
		return
	}
	p.skipLine()
}

// keyword consumes word if it stands here and is followed by one of after.
func (p *parser) keyword(word, after string) bool {
	if !p.has(word) {
		return false
	}
	next := p.rest()[len(word):]
	if next != "" && !strings.ContainsAny(next[:1], after) {
		return false
	}
	p.at += len(word)
	return true
}

func (p *parser) alias() bool {
	for _, word := range []string{"User_Alias", "Runas_Alias", "Host_Alias", "Cmnd_Alias", "Cmd_Alias"} {
		if p.keyword(word, " \t\\") {
			return true
		}
	}
	return false
}

// include consumes a line that reads in something else.
func (p *parser) include() bool {
	if c := p.peek(); c != '@' && c != '#' {
		return false
	}
	line, _, _ := strings.Cut(p.rest(), "\n")
	word, path, found := strings.Cut(strings.ReplaceAll(line[1:], "\t", " "), " ")
	if !found || word != "include" && word != "includedir" {
		return false
	}
	path = strings.TrimSpace(path)
	if strings.HasPrefix(path, `"`) {
		path, _, _ = strings.Cut(path[1:], `"`)
	} else {
		path = unescape(path)
	}
	p.f.Includes = append(p.f.Includes, Include{Path: path, Dir: word == "includedir"})
	p.skipLine()
	return true
}

// unescape returns the first word of s, in which a backslash protects what
// comes after it.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && s[i] != ' '; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// word consumes a name: quoted, or up to a blank or one of stop, with escapes.
// It is empty if there is none.
func (p *parser) word(stop string) string {
	start := p.at
	for p.at < len(p.s) {
		c := p.peek()
		switch {
		case c == '"':
			end := strings.IndexAny(p.rest()[1:], "\"\n")
			if end < 0 || p.rest()[1+end] == '\n' {
				return ""
			}
			p.at += end + 2
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || p.continued() > 0:
			return p.s[start:p.at]
		case c == '\\' && p.at+1 < len(p.s):
			p.at += 2
		case c == '#' && p.at > start:
			return p.s[start:p.at] // a comment; at the start it is a number
		case strings.IndexByte(stop, c) >= 0:
			return p.s[start:p.at]
		default:
			p.at++
		}
	}
	return p.s[start:p.at]
}

// list consumes names with commas between them.
func (p *parser) list(stop string) []string {
	var all []string
	for {
		p.blanks()
		not := ""
		for p.peek() == '!' {
			not += "!"
			p.at++
			p.blanks()
		}
		if p.ended() {
			return nil
		}
		w := p.word(stop + ",")
		if w == "" {
			return nil
		}
		all = append(all, not+w)
		p.blanks()
		if p.peek() != ',' {
			return all
		}
		p.at++
	}
}

// loose notes that text between start and end of the file asks for too little.
func (p *parser) loose(who string, start, end int, instead string) {
	what := strings.TrimRight(p.s[start:end], " \t")
	p.f.Loose = append(p.f.Loose, Loose{
		Line: p.line(start), Who: who, What: what, start: start, end: end, instead: instead,
	})
}

// defaults consumes what comes after the word Defaults.
func (p *parser) defaults() bool {
	who := ""
	if c := p.peek(); strings.IndexByte(":@>!", c) >= 0 && c != 0 {
		start := p.at
		p.at++
		if p.list("") == nil {
			return false
		}
		who = strings.TrimSpace(p.s[start:p.at])
	}
	for {
		p.blanks()
		if !p.parameter(who) {
			return false
		}
		p.blanks()
		if p.peek() != ',' {
			return true
		}
		p.at++
	}
}

// parameter consumes one setting of Defaults and looks at it.
func (p *parser) parameter(who string) bool {
	start, not := p.at, false
	for p.peek() == '!' {
		not = !not
		p.at++
		p.blanks()
	}
	nameAt := p.at
	if p.ended() {
		return false
	}
	name := p.word(",=+-")
	if name == "" {
		return false
	}
	end := p.at
	p.blanks()
	value, valued := "", false
	if p.peek() == '+' || p.peek() == '-' {
		p.at++
	}
	if p.peek() == '=' {
		p.at++
		p.blanks()
		valued = true
		if p.ended() && p.peek() != '#' {
			return false
		}
		valueAt := p.at
		value = p.word(",")
		end = p.at
		if name == "timestamp_timeout" && tooLong(value) {
			p.loose(who, valueAt, end, strconv.Itoa(MaxTimestampTimeout))
		}
	}
	switch {
	case not && (name == "authenticate" || name == "use_pty"):
		p.loose(who, start, nameAt, "")
		p.f.Loose[len(p.f.Loose)-1].What = "!" + name
	case !not && !valued && slices.Contains(othersPasswords, name):
		p.loose(who, start, end, "!"+name)
	case name == "exempt_group" && valued:
		p.loose(who, start, end, "!exempt_group")
	}
	return true
}

// othersPasswords are the settings that ask for the password of somebody else:
// of root, who may have none any more, or of who the command is run as.
var othersPasswords = []string{"rootpw", "targetpw", "runaspw"}

// tooLong reports whether a timestamp_timeout is for ever or longer than it may
// be. What is no number is not for us to judge.
func tooLong(value string) bool {
	minutes, err := strconv.ParseFloat(strings.Trim(value, `"`), 64)
	return err == nil && (minutes < 0 || minutes > MaxTimestampTimeout)
}

// rule consumes a user specification.
func (p *parser) rule() bool {
	r := Rule{Line: p.line(p.at), Users: p.list("=")}
	if r.Users == nil {
		return false
	}
	who := strings.Join(r.Users, ", ")
	for {
		// A host may be an IPv6 address, so a colon means nothing here.
		if p.list("=") == nil || p.peek() != '=' {
			return false
		}
		p.at++
		if !p.commands(&r, who) {
			return false
		}
		if p.peek() != ':' {
			break
		}
		p.at++
	}
	p.f.Rules = append(p.f.Rules, r)
	return true
}

// commands consumes a list of commands, each with whom to run it as and tags.
func (p *parser) commands(r *Rule, who string) bool {
	for {
		p.blanks()
		if p.peek() == '(' {
			end := strings.IndexAny(p.rest(), ")\n")
			if end < 0 || p.rest()[end] == '\n' {
				return false
			}
			p.at += end + 1
		}
		p.tags(who)
		all, ok := p.command()
		if !ok {
			return false
		}
		r.All = r.All || all
		p.blanks()
		if p.peek() != ',' {
			return true
		}
		p.at++
	}
}

// options are what may stand before a command with a value.
var options = []string{
	"ROLE", "TYPE", "PRIVS", "LIMITPRIVS", "APPARMOR_PROFILE", "CWD", "CHROOT", "TIMEOUT", "NOTBEFORE", "NOTAFTER",
}

// digests are the checksums that may stand before a command.
var digests = []string{"sha224", "sha256", "sha384", "sha512"}

// tags consumes options, tags and checksums before a command.
func (p *parser) tags(who string) {
	for {
		p.blanks()
		start := p.at
		name := p.rest()[:span(p.rest())]
		p.at += len(name)
		p.blanks()
		switch {
		case p.peek() == ':' && slices.Contains(digests, name):
			p.at++
			p.blanks()
			p.word(",")
			p.blanks()
			if p.peek() == ',' { // one checksum of several
				p.at++
			}
		case p.peek() == ':' && name != "" && name == strings.ToUpper(name):
			p.at++
			if name != "NOPASSWD" {
				continue
			}
			end := p.at
			for end < len(p.s) && (p.s[end] == ' ' || p.s[end] == '\t') {
				end++
			}
			p.loose(who, start, end, "")
		case p.peek() == '=' && slices.Contains(options, name):
			p.at++
			p.blanks()
			p.word(",")
		default:
			p.at = start
			return
		}
	}
}

// span is the length of the identifier at the start of s.
func span(s string) int {
	return len(s) - len(strings.TrimLeft(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"))
}

// command consumes one command with its arguments; all says that it is ALL.
func (p *parser) command() (all, ok bool) {
	not := false
	for p.peek() == '!' {
		not = !not
		p.at++
		p.blanks()
	}
	name := p.rest()[:span(p.rest())]
	if name != "" && name == strings.ToUpper(name) {
		p.at += len(name) // ALL or an alias, neither of which has arguments
		return name == "ALL" && !not, true
	}
	start := p.at
	for p.at < len(p.s) {
		switch c := p.peek(); {
		case c == '^' && (p.at == start || strings.IndexByte(" \t", p.s[p.at-1]) >= 0):
			if !p.regexp() {
				return false, false
			}
		case p.continued() > 0:
			p.at += p.continued()
		case c == '\\' && p.at+1 < len(p.s) && p.s[p.at+1] != '\n':
			p.at += 2
		case c == '\n' || c == ',' || c == ':' || c == '=' || c == '#':
			return false, p.at > start
		default:
			p.at++
		}
	}
	return false, p.at > start
}

// regexp consumes a regular expression from its '^' to its '$'; in it the signs
// that end a command mean nothing.
func (p *parser) regexp() bool {
	for i := p.at + 1; i < len(p.s) && p.s[i] != '\n'; i++ {
		if p.s[i] == '\\' {
			i++
			continue
		}
		if p.s[i] == '$' && (i+1 == len(p.s) || strings.IndexByte(" \t\r\n,:", p.s[i+1]) >= 0) {
			p.at = i + 1
			return true
		}
	}
	return false
}
