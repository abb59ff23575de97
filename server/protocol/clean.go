package protocol

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
)

// Clean returns text that came from a server as it may be shown in a terminal:
// without escape sequences, control characters other than line break and
// tabulator, and marks that change the direction or the order of what follows.
// What is not UTF-8 becomes U+FFFD. A line may still say anything.
func Clean(s string) string {
	if plain(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = sequence.ReplaceAllString(s, "")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == '\uFEFF' {
			return -1
		}
		return r
	}, s)
}

// plain reports whether s is printable ASCII, as nearly all of it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' && c != '\n' && c != '\t') || c > '~' {
			return false
		}
	}
	return true
}

// sequence matches the escape sequences of ECMA-48 with their parameters, in
// both encodings of their introducers: strings up to their terminator, control
// sequences, and two-character ones. What is left of a broken one is harmless
// once its control characters are gone.
var sequence = regexp.MustCompile("(?s)" +
	"(?:\x1b[\\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)" +
	"|(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]" +
	"|\x1b[ -/]+[0-~]" +
	"|\x1b[0-Z\\\\^-~]")

// cleanJSON cleans every string of a valid JSON text, names of fields included.
func cleanJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] != '"' {
			out = append(out, text[i])
			i++
			continue
		}
		end := i + 1
		special := false
		for text[end] != '"' {
			if text[end] == '\\' {
				special = true
				end++
			} else if text[end] > '~' {
				special = true
			}
			end++
		}
		quoted := text[i : end+1]
		i = end + 1
		var s string
		if special && json.Unmarshal(quoted, &s) == nil {
			if quoted2, err := json.Marshal(Clean(s)); err == nil {
				quoted = quoted2
			}
		}
		out = append(out, quoted...)
	}
	return out
}
