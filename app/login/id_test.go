package login_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-security/holdfast/app/login"
)

func TestParseID(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"anna", "anna"},
		{"Anna@Example.ORG", "anna@example.org"},
		{"anna+todo@example.org", "anna+todo@example.org"},
		{"JOSÉ", "josé"},
		{"jose\u0301", "josé"},
		{"ｊｏｓｅ", "jose"},
		{strings.Repeat("a", 255), strings.Repeat("a", 255)},
		{strings.Repeat("Ａ", 255), strings.Repeat("a", 255)},
		{strings.Repeat("a", 256), ""},
		{strings.Repeat("é", 128), ""},
		{"", ""}, {" ", ""}, {"anna ", ""}, {"an na", ""}, {"a\x00", ""}, {"a\xff", ""}, {"joſe", ""}, {"a\u200bb", ""},
	} {
		got, err := login.ParseID(c.text)
		if string(got) != c.want || (c.want == "") != errors.Is(err, login.ErrID) {
			t.Errorf("ParseID(%+q) = %+q, %v", c.text, got, err)
		}
	}
}

// A canonical id is its own canonical form, whatever it came from.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{"anna", "Anna@Example.ORG", "jose\u0301", "\u0130", "ｊｏｓｅ", "\u1e9e", "\u03a3\u03c2", "a\u0300\u0301", "\u05d0\u05d1", "\uff76\uff9e", "\u212b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := login.ParseID(text)
		if err != nil {
			if id != "" || !errors.Is(err, login.ErrID) {
				t.Errorf("%+q: %+q with %v", text, id, err)
			}
			return
		}
		if id == "" || len(id) > login.MaxID || !utf8.ValidString(string(id)) || strings.ContainsAny(string(id), " \x00\t\r\n") {
			t.Errorf("%+q: %+q", text, id)
		}
		if again, err := login.ParseID(string(id)); err != nil || again != id {
			t.Errorf("%+q: %+q, then %+q, %v", text, id, again, err)
		}
	})
}
