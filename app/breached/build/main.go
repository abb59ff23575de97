// Command build writes the list files of package breached.
//
//	go run ./app/breached/build -o FILE -hashes PWNED    # sorted SHA-1 hashes, one a line
//	go run ./app/breached/build -o FILE -words WORDS     # passwords, one a line
//	go run ./app/breached/build -o FILE                  # the list that ships: common passwords, expanded
//
// If anything fails, no file is left under the name of -o, unless one was there
// before: then that one is left.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/holdfast-security/holdfast/app/breached"
)

var (
	//go:embed words.txt.gz
	words []byte
	//go:embed top.txt
	top string
)

func main() {
	out := flag.String("o", "", "the `file` to write")
	hashes := flag.String("hashes", "", "a `file` of sorted SHA-1 hashes in hex, one a line, such as Pwned Passwords ordered by hash")
	list := flag.String("words", "", "a `file` of passwords, one a line")
	width := flag.Int("width", 3, "`bytes` of an entry, 1 to 7: one more divides the rate of false positives by 256")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 || *hashes != "" && *list != "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := build(*out, *hashes, *list, *width); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func build(out, hashes, list string, width int) error {
	f, err := os.Create(out + ".new")
	if err != nil {
		return err
	}
	defer os.Remove(out + ".new") // fails after the rename, as it should
	if err := fill(f, hashes, list, width); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	l, err := breached.Open(out + ".new")
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Printf("%d entries, false positives at %.2g\n", l.Len(), l.FalsePositives())
	return os.Rename(out+".new", out)
}

func fill(w io.Writer, hashes, list string, width int) error {
	if hashes != "" {
		f, err := os.Open(hashes)
		if err != nil {
			return err
		}
		defer f.Close()
		return breached.WriteHashes(w, f, width)
	}
	if list != "" {
		f, err := os.Open(list)
		if err != nil {
			return err
		}
		defer f.Close()
		var failed error
		if err := breached.WriteWords(w, lines(f, &failed), width); err != nil {
			return err
		}
		return failed
	}
	all, err := shipped()
	if err != nil {
		return err
	}
	return breached.WriteWords(w, breached.Expand(all, strings.Fields(top)), width)
}

// shipped returns the common passwords that ship.
func shipped() ([]string, error) {
	z, err := gzip.NewReader(bytes.NewReader(words))
	if err != nil {
		return nil, err
	}
	var all []string
	var failed error
	for line := range lines(z, &failed) {
		all = append(all, line)
	}
	return all, failed
}

func lines(r io.Reader, failed *error) iter.Seq[string] {
	return func(yield func(string) bool) {
		s := bufio.NewScanner(r)
		for s.Scan() {
			if line := strings.TrimRight(s.Text(), "\r"); line != "" && !yield(line) {
				return
			}
		}
		*failed = s.Err()
	}
}
