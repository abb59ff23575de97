package protocol

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var lines = []string{
	`{"format":1,"id":7,"op":"plan","body":{"config":{"server":"a"}},"secrets":{"password/ada":"x"}}`,
	`{"format":1,"id":7,"cancel":true}`,
	`{"format":1,"id":7,"event":{"step":1,"steps":2,"text":"writing \u001b[31m"}}`,
	`{"format":1,"id":7,"result":{"a":[1,2,{"b":null}]}}`,
	`{"format":1,"id":0,"error":{"code":"drift","message":"\u009b","state":"unchanged"}}`,
	`{"format":2,"id":7}`, `[[[[`, `"\ud800"`, `{"a\u001b":"\\\""}`, "\x00", "{}{}", "\"\x7f\"", "1e700",
}

// What can be decoded can be sent, and is then decoded as the same thing.
func FuzzDecode(f *testing.F) {
	for _, l := range lines {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, read := range []func([]byte) (message, error){decode, decodeForeign} {
			m, err := read(line)
			if err != nil {
				continue
			}
			once, err := encode(m)
			if err != nil {
				t.Fatalf("%q was decoded and cannot be encoded: %v", line, err)
			}
			if bytes.Count(once, []byte("\n")) != 1 {
				t.Fatalf("%q is not one line", once)
			}
			again, err := read(bytes.TrimSuffix(once, []byte("\n")))
			if err != nil {
				t.Fatalf("%q: %v", once, err)
			}
			if twice, err := encode(again); err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%q became %q, %v", once, twice, err)
			}
		}
	})
}

// Nothing that controls a terminal is left in any string, at any depth.
func FuzzCleanJSON(f *testing.F) {
	for _, l := range lines {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(cleanJSON(text)))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		walk(v, func(s string) {
			if Clean(s) != s {
				t.Fatalf("%q is left of %q", s, text)
			}
		})
	})
}

func walk(v any, see func(string)) {
	switch v := v.(type) {
	case string:
		see(v)
	case []any:
		for _, e := range v {
			walk(e, see)
		}
	case map[string]any:
		for k, e := range v {
			see(k)
			walk(e, see)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"plain", "a\x1b[31mb", "\x1b\x1b[0m[31m", "\x1b]8;;http://x\x1b\\y", "\u009b1m", "\xff\x9b1m", "\x1bP+q\x9c", "\u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if Clean(got) != got {
			t.Fatalf("Clean(%q) is %q, and cleaned again %q", s, got, Clean(got))
		}
		if !utf8.ValidString(got) {
			t.Fatalf("Clean(%q) is not UTF-8: %q", s, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				t.Fatalf("Clean(%q) has %q", s, r)
			}
		}
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, with ünïcode\n":   "plain text, with ünïcode\n",
		"a\x1b[1;31mred\x1b[0m b":      "ared b",
		"\x1b]0;title\x07after":        "after",
		"\x1b]8;;http://x\x1b\\link":   "link",
		"\u009d0;title\u009cafter":     "after",
		"\x1bP1$r\x1b\\after":          "after",
		"\x1b[31":                      "[31",
		"\x1b\x1b[0m[31mx":             "[31mx",
		"over\rwritten\b\b":            "overwritten",
		"\x1b(0lqk\x1bc":               "lqk",
		"user\u202etxt.exe":            "usertxt.exe",
		"bad \xff byte":                "bad \uFFFD byte",
		strings.Repeat("\x1b[2J", 100): "",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}
