package seclog

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// An Outcome says how an event ended.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused"
	Failed  Outcome = "failed"
)

// Bounds of an event. What is longer is cut, and ends in an ellipsis.
const (
	MaxText   = 256 // bytes of a value, before it is escaped
	MaxFields = 16  // entries of Detail; the first by name stay
)

// An Event is something that happened. What and the names in Detail are constant
// text of the program; the values may come from anywhere.
type Event struct {
	What    string // for example "login", "role change"
	Outcome Outcome
	Who     string // key of the account that acts; empty for nobody
	Whom    string // key of the account that it is done to, if it is another
	Addr    netip.Addr
	Detail  map[string]string
}

// line is the stored form. The order of the fields is that of the text.
type line struct {
	Seq     int64             `json:"seq"`
	Time    string            `json:"time"`
	What    string            `json:"what"`
	Outcome string            `json:"outcome"`
	Who     string            `json:"who,omitempty"`
	Whom    string            `json:"whom,omitempty"`
	Addr    string            `json:"addr,omitempty"`
	Detail  map[string]string `json:"detail,omitempty"`
}

func (l *Log) line(e Event, now time.Time) line {
	out := line{
		Time: now.UTC().Format(time.RFC3339Nano), What: plain(e.What), Outcome: plain(string(e.Outcome)),
		Who: l.pseudonym(e.Who), Whom: l.pseudonym(e.Whom),
	}
	if e.Addr.IsValid() {
		out.Addr = plain(e.Addr.Unmap().String()) // a zone is text
	}
	for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
		if len(out.Detail) == MaxFields {
			break
		}
		if out.Detail == nil {
			out.Detail = map[string]string{}
		}
		out.Detail[plain(name)] = plain(e.Detail[name])
	}
	return out
}

func (l line) text() (string, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("writing an event: %w", err)
	}
	return string(text), nil
}

func (l line) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("what", l.What), slog.String("outcome", l.Outcome)}
	for _, a := range []struct{ name, value string }{{"who", l.Who}, {"whom", l.Whom}, {"addr", l.Addr}} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.name, a.value))
		}
	}
	if len(l.Detail) > 0 {
		var detail []slog.Attr
		for _, name := range slices.Sorted(maps.Keys(l.Detail)) {
			detail = append(detail, slog.String(name, l.Detail[name]))
		}
		attrs = append(attrs, slog.GroupAttrs("detail", detail...))
	}
	return attrs
}

// plain bounds text and escapes what a reader or a terminal would not see as text.
// A backslash is escaped too, so that nobody writes what looks like an escape.
func plain(text string) string {
	cut := ""
	if len(text) > MaxText {
		n := MaxText
		for n > MaxText-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
		text, cut = text[:n], "\u2026"
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !unicode.IsPrint(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteString(text[i : i+n])
		}
		i += n
	}
	return b.String() + cut
}
