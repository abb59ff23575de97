package password_test

import (
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/password"
)

func TestZeroHasher(t *testing.T) {
	var h password.Hasher
	if err := h.Check(); err != nil {
		t.Fatal(err)
	}
	a, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if a == b || !strings.HasPrefix(a, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hashes of one password: %s and %s", a, b)
	}
	for pw, want := range map[string]password.Result{
		"correct horse": {Match: true, Scheme: "argon2id"},
		"correct horsf": {Scheme: "argon2id"},
		"":              {Scheme: "argon2id"},
	} {
		if got, err := h.Verify(t.Context(), a, pw); err != nil || got != want {
			t.Errorf("Verify(%q) = %+v, %v; want %+v", pw, got, err, want)
		}
	}
}
