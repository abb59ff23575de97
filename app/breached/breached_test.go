package breached_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/breached"
	"github.com/holdfast-security/holdfast/app/passpolicy"
)

func contains(t testing.TB, l interface {
	Contains(context.Context, string) (bool, error)
}, pw string) bool {
	t.Helper()
	found, err := l.Contains(t.Context(), pw)
	if err != nil {
		t.Fatalf("Contains(%q): %v", pw, err)
	}
	return found
}

func shipped(t *testing.T) (words, top []string) {
	t.Helper()
	f, err := os.Open(filepath.Join("build", "words.txt.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(z)
	for s.Scan() {
		words = append(words, s.Text())
	}
	text, err := os.ReadFile(filepath.Join("build", "top.txt"))
	if err != nil || s.Err() != nil {
		t.Fatal(err, s.Err())
	}
	return words, strings.Fields(string(text))
}

type nothing struct{}

func (nothing) Contains(context.Context, string) (bool, error) { return false, nil }

// What ships bites under each preset: at least 3,000 of its entries would pass it
// but for the list.
func TestCommonBites(t *testing.T) {
	words, top := shipped(t)
	l := breached.Common()
	seen := map[string]bool{}
	for s := range breached.Expand(words, top) {
		seen[s] = true
	}
	presets := map[string]passpolicy.Policy{"NIST, one factor": passpolicy.NIST(false), "NIST, with a second": passpolicy.NIST(true), "guide": passpolicy.Guide()}
	counts := map[string]int{}
	for s := range seen {
		// Compared without letter case, so the guide's upper case letter is no way out.
		chosen := strings.ToUpper(s[:1]) + s[1:]
		if !contains(t, l, chosen) {
			t.Fatalf("%q is not in the list that ships: run go generate", chosen)
		}
		for name, p := range presets {
			p.Blocklists = []passpolicy.Blocklist{nothing{}}
			violations, err := p.Check(t.Context(), chosen)
			if err != nil {
				t.Fatal(err)
			}
			if len(violations) == 0 {
				counts[name]++
			}
		}
	}
	t.Logf("%d entries from %d words; they would pass: %v", l.Len(), len(words), counts)
	for name := range presets {
		if counts[name] < 3000 {
			t.Errorf("%s: only %d entries would pass it", name, counts[name])
		}
	}
	for _, pw := range []string{"password", "Password2024!", "P@ssw0rd123", "qwertyuiopasdfgh", "passwordpassword", "iloveyou princess", "1qaz2wsx3edc4rfv", "Liverpool2019!"} {
		if !contains(t, l, pw) {
			t.Errorf("%q is not in the list", pw)
		}
	}
}

// The stated rate of false positives is the measured one.
func TestFalsePositives(t *testing.T) {
	var b bytes.Buffer
	err := breached.WriteWords(&b, func(yield func(string) bool) {
		for i := range 20_000 {
			if !yield(fmt.Sprintf("entry %d", i)) {
				return
			}
		}
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	l, err := breached.New(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	hits, tries := 0, 20_000
	for range tries {
		if contains(t, l, fmt.Sprintf("Other %d", r.Uint64())) {
			hits++
		}
	}
	want := l.FalsePositives() * float64(tries)
	t.Logf("%d false positives, %.0f stated, in %d bytes for %d entries", hits, want, b.Len(), l.Len())
	if float64(hits) > 1.1*want || float64(hits) < 0.7*want {
		t.Errorf("%d false positives, stated are %.0f", hits, want)
	}
	if rate := breached.Common().FalsePositives(); rate > 2e-5 || rate <= 0 {
		t.Errorf("the list that ships states %g", rate)
	}
}

func sha1Lines(n int) []string {
	var lines []string
	for i := range n {
		sum := sha1.Sum(fmt.Appendf(nil, "Secret %d", i))
		lines = append(lines, strings.ToUpper(hex.EncodeToString(sum[:]))+":"+fmt.Sprint(i))
	}
	slices.Sort(lines)
	return lines
}

func TestHashes(t *testing.T) {
	lines := sha1Lines(5000)
	path := filepath.Join(t.TempDir(), "list.bin")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := breached.WriteHashes(f, strings.NewReader(strings.Join(lines, "\r\n")), 4); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := breached.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Len() != 5000 {
		t.Errorf("%d entries", l.Len())
	}
	for i := range 5000 {
		if !contains(t, l, fmt.Sprintf("Secret %d", i)) {
			t.Fatalf("entry %d is missing", i)
		}
	}
	if contains(t, l, "another") || contains(t, l, "Secret 5000") {
		t.Error("what is not there is found")
	}
	lines[7], lines[8] = lines[8], lines[7]
	for _, bad := range []string{strings.Join(lines, "\n"), "abc", lines[0][:38]} {
		if err := breached.WriteHashes(&bytes.Buffer{}, strings.NewReader(bad), 4); err == nil {
			t.Errorf("%.60q passes", bad)
		}
	}
}

func TestEmptyAndDamaged(t *testing.T) {
	var b bytes.Buffer
	if err := breached.WriteWords(&b, slices.Values([]string(nil)), 3); err != nil {
		t.Fatal(err)
	}
	l, err := breached.New(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if contains(t, l, "password") {
		t.Error("an empty list holds something")
	}
	data := b.Bytes()
	for name, bad := range map[string][]byte{"empty": nil, "cut off": data[:len(data)-1], "longer": append(slices.Clone(data), 0), "other": []byte(strings.Repeat("x", 100))} {
		if _, err := breached.New(bytes.NewReader(bad), int64(len(bad))); !errors.Is(err, breached.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzNew(f *testing.F) {
	var b bytes.Buffer
	if err := breached.WriteWords(&b, slices.Values([]string{"one", "two", "three"}), 2); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), "one")
	f.Add(b.Bytes()[:20], "one")
	f.Add([]byte("hfbreach"), "x")
	f.Fuzz(func(t *testing.T, data []byte, pw string) {
		l, err := breached.New(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		l.Contains(t.Context(), pw) // an error or an answer, never a panic
	})
}

// service answers as the Pwned Passwords API does, for one password.
func service(t *testing.T, pw string, answer func(http.ResponseWriter, string)) (*httptest.Server, *[]string) {
	t.Helper()
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.Header.Get("Add-Padding") != "true" {
			t.Error("the answer's size would tell how many hashes it has")
		}
		sum := sha1.Sum([]byte(pw))
		answer(w, strings.ToUpper(hex.EncodeToString(sum[:])))
	}))
	t.Cleanup(s.Close)
	return s, &asked
}

func TestRange(t *testing.T) {
	other := strings.Repeat("0", 35)
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, hash string)
		found  bool
		fails  bool
	}{
		"found":     {func(w http.ResponseWriter, h string) { fmt.Fprintf(w, "%s:3\r\n%s:7\r\n", other, h[5:]) }, true, false},
		"not found": {func(w http.ResponseWriter, h string) { fmt.Fprintf(w, "%s:3\r\n", other) }, false, false},
		"padding":   {func(w http.ResponseWriter, h string) { fmt.Fprintf(w, "%s:0\r\n", h[5:]) }, false, false},
		"500":       {func(w http.ResponseWriter, h string) { w.WriteHeader(500) }, false, true},
		"empty":     {func(w http.ResponseWriter, h string) {}, false, true},
		"html":      {func(w http.ResponseWriter, h string) { fmt.Fprint(w, "<html>welcome to the hotel</html>") }, false, true},
		"redirect":  {func(w http.ResponseWriter, h string) { w.Header().Set("Location", "/other"); w.WriteHeader(302) }, false, true},
		"cut off": {func(w http.ResponseWriter, h string) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprintf(w, "%s:3\r\n", other)
		}, false, true},
		"slow": {func(w http.ResponseWriter, h string) {
			w.(http.Flusher).Flush()
			for range 3000 { // until the client has gone
				if _, err := w.Write(nil); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, asked := service(t, "Secret 1", c.answer)
			failures := 0
			r := &breached.Range{URL: s.URL + "/range/", OnError: breached.Refuse, Timeout: 300 * time.Millisecond, OnFailure: func(error) { failures++ }}
			found, err := r.Contains(t.Context(), "Secret 1")
			if found != c.found || (err != nil) != c.fails || err != nil && !errors.Is(err, breached.ErrService) {
				t.Errorf("%v, %v", found, err)
			}
			if len(*asked) != 1 || len((*asked)[0]) != len("/range/")+5 {
				t.Errorf("asked %v: more than five digits, or more than once", *asked)
			}
			r.OnError = breached.InsecureAccept
			if found, err := r.Contains(t.Context(), "Secret 1"); err != nil || found != c.found {
				t.Errorf("InsecureAccept: %v, %v", found, err)
			}
			if want := map[bool]int{true: 2}[c.fails]; failures != want {
				t.Errorf("%d failures told, want %d", failures, want)
			}
		})
	}
	if _, err := (&breached.Range{URL: "http://127.0.0.1:1/"}).Contains(t.Context(), "x"); err == nil || errors.Is(err, breached.ErrService) {
		t.Errorf("without a choice: %v", err)
	}
}

func ExampleList_Contains() {
	found, err := breached.Common().Contains(context.Background(), "Password2024!")
	fmt.Println(found, err)
	// Output: true <nil>
}
