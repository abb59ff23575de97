package main

import (
	"bytes"
	"os"
	"testing"
)

// docs/guide.md is what the controls print, so it cannot say anything else.
func TestGuideIsPrinted(t *testing.T) {
	var want bytes.Buffer
	if err := printGuide(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/guide.md is out of date: run `go run ./cmd/holdfast docs guide >docs/guide.md`")
	}
}
