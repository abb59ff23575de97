package breached

import (
	"iter"
	"strconv"
	"strings"
)

// Expand yields passwords that people make of common ones, in lower case; look-ups
// ignore case. Entries repeat. The rules:
//
//   - each word, and each top word with letters replaced (a by @ or 4, e by 3, i by
//     1 or !, o by 0, s by $ or 5; one kind of letter, or all);
//   - repeated: each word twice, three times, and until it has 15 letters;
//   - joined: each two of the top words, also with a blank between;
//   - suffixed: each word by the digits and signs that complexity rules call
//     for, each top word and its replacements by more of them and by years with
//     and without a sign;
//   - walked: runs of 8 to 20 keys along the rows and columns of a keyboard and
//     along the digits, both ways.
func Expand(words, top []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, rule := range []iter.Seq[string]{plain(words), joined(top), suffixed(top), walked()} {
			for s := range rule {
				if !yield(s) {
					return
				}
			}
		}
	}
}

var fewSuffixes = []string{"1", "123", "1!", "123!", "@123", "2024!"}

func manySuffixes() []string {
	all := []string{"!", "!!", "1", "12", "123", "1234", "12345", "123456", "1!", "12!", "123!", "1234!", "!1", "!123", "@1", "@12", "@123", "@1234", "#1", "#123", ".1", "01", "007", "69", "99", "00", "321", "111", "666", "777"}
	for year := 1990; year <= 2030; year++ {
		y := strconv.Itoa(year)
		all = append(all, y, y+"!")
	}
	return all
}

func plain(words []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, w := range words {
			w = fold(w)
			long := w
			for len(long) < 15 {
				long += w
			}
			forms := []string{w, w + w, w + w + w, long}
			for _, s := range fewSuffixes {
				forms = append(forms, w+s)
			}
			for _, f := range forms {
				if !yield(f) {
					return
				}
			}
		}
	}
}

func joined(top []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, a := range top {
			for _, b := range top {
				for _, sep := range []string{"", " "} {
					if sep != "" && len(a)+len(b) < 14 {
						continue // too short for the policy that the rule is for
					}
					if !yield(a + sep + b) {
						return
					}
				}
			}
		}
	}
}

// replaced returns a word with letters replaced, itself first.
func replaced(w string) []string {
	kinds := []string{"a", "@", "a", "4", "e", "3", "i", "1", "i", "!", "o", "0", "s", "$", "s", "5"}
	forms := []string{w}
	for i := 0; i < len(kinds); i += 2 {
		forms = append(forms, strings.ReplaceAll(w, kinds[i], kinds[i+1]))
	}
	return append(forms,
		strings.NewReplacer("a", "@", "o", "0").Replace(w),
		strings.NewReplacer("a", "@", "e", "3", "i", "1", "o", "0").Replace(w),
		strings.NewReplacer("a", "@", "e", "3", "i", "1", "o", "0", "s", "$").Replace(w))
}

func suffixed(top []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, w := range top {
			for _, form := range replaced(w) {
				for _, s := range append(manySuffixes(), "") {
					if !yield(form + s) {
						return
					}
				}
			}
		}
	}
}

func walked() iter.Seq[string] {
	lines := []string{
		"qwertyuiopasdfghjklzxcvbnm", "qwertyuiop[]asdfghjkl;'zxcvbnm,./", "qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn",
		"1234567890qwertyuiopasdfghjklzxcvbnm", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.",
		"qazwsxedcrfvtgbyhnujmikolp", "!qaz@wsx#edc$rfv%tgb", "1qazxsw23edcvfr45tgbnhy6", "zaq1xsw2cde3vfr4bgt5nhy6mju7",
		"abcdefghijklmnopqrstuvwxyz", "abcd1234efgh5678ijkl", "abc123def456ghi789", "aaaaaaaaaaaaaaaaaaaa", "!@#$%^&*()_+qwertyuiop",
		"12345678901234567890", "01234567890123456789", "112233445566778899001122", "123123123123123123123", "111222333444555666777888999",
		"asdfghjkl;'asdfghjkl", "qweasdzxcqweasdzxc123", "qwerasdfzxcv1234qwer", "qweqweqweasdasdasdzxczxczxc",
	}
	for _, c := range "0123456789xz*" {
		lines = append(lines, strings.Repeat(string(c), 20))
	}
	return func(yield func(string) bool) {
		for _, line := range lines {
			for _, l := range []string{line, reversed(line)} {
				for from := range l {
					for to := from + 8; to <= min(len(l), from+20); to++ {
						for _, s := range []string{"", "1", "!", "1!", "123"} {
							if !yield(l[from:to] + s) {
								return
							}
						}
					}
				}
			}
		}
	}
}

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}
