package keyring_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/keyring"
)

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, keyring.MinSecret) }

func TestRotate(t *testing.T) {
	ring, err := keyring.New(secret(2), secret(1))
	if err != nil {
		t.Fatal(err)
	}
	old := ring.Current("pepper")
	other := ring.Current("csrf")
	if old.ID == other.ID || old.Bytes == other.Bytes {
		t.Error("two purposes have one key")
	}
	if err := ring.Rotate(secret(3)); err != nil {
		t.Fatal(err)
	}
	now := ring.Current("pepper")
	if now.ID == old.ID || now.Bytes == old.Bytes {
		t.Error("the key is the same after a rotation")
	}
	if got, ok := ring.Find("pepper", old.ID); !ok || got != old {
		t.Error("the key before the rotation is lost")
	}
	if _, ok := ring.Find("csrf", old.ID); ok {
		t.Error("a key is found for another purpose")
	}
	if got := len(ring.Keys("pepper")); got != 3 {
		t.Errorf("%d keys, want 3", got)
	}
	again, err := keyring.New(secret(3), secret(2), secret(1))
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range again.Keys("pepper") {
		if k != ring.Keys("pepper")[i] {
			t.Errorf("key %d differs between a rotated and a new ring", i)
		}
	}
}

func TestUnusable(t *testing.T) {
	for name, f := range map[string]func() error{
		"short": func() error { _, err := keyring.New(secret(1)[1:]); return err },
		"twice": func() error { _, err := keyring.New(secret(1), secret(1)); return err },
		"none":  func() error { _, err := keyring.Parse("# only a comment\n"); return err },
		"text":  func() error { _, err := keyring.Parse("a pass phrase of many characters it is\n"); return err },
	} {
		if err := f(); !errors.Is(err, keyring.ErrSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	k := ring.Current("pepper")
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if got := fmt.Sprintf(format, k); got != "key "+k.ID {
			t.Errorf("%s prints %s", format, got)
		}
	}
	if got := k.LogValue().String(); got != "key "+k.ID {
		t.Errorf("the log shows %s", got)
	}
}

func FuzzParse(f *testing.F) {
	one := base64.StdEncoding.EncodeToString(secret(1))
	f.Add(one + "\n")
	f.Add("# current\n" + one + "\n\n# previous\n" + base64.StdEncoding.EncodeToString(secret(2)))
	f.Add(one + "\n" + one)
	f.Add("AAAA\n")
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := keyring.Parse(text)
		if err != nil {
			if !errors.Is(err, keyring.ErrSecret) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		lines := 0
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				lines++
			}
		}
		if got := len(ring.Keys("x")); got != lines {
			t.Errorf("%d keys from %d lines", got, lines)
		}
	})
}

func Example() {
	ring, err := keyring.Parse("# of 2026\n" + keyring.Generate())
	if err != nil {
		panic(err)
	}
	made := ring.Current("csrf") // made.ID goes with what made.Bytes signs

	if err := ring.Rotate([]byte("the next secret, from a random source")); err != nil {
		panic(err)
	}
	again, ok := ring.Find("csrf", made.ID)
	fmt.Println(ok, again == made, ring.Current("csrf") == made)
	// Output: true true false
}
