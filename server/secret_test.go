package server_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	const content = "correct horse"
	s := server.NewSecret(content)
	// fmt calls no methods on what lies in an unexported field.
	type holder struct {
		s  server.Secret
		p  *server.Secret
		m  map[string]server.Secret
		ss []server.Secret
	}
	h := holder{s, &s, map[string]server.Secret{"password/alice": s}, []server.Secret{s}}
	for _, v := range []any{s, &s, h, &h, []any{s, h}, fmt.Errorf("with %v and %v", s, h)} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(format, v); strings.Contains(got, content) || strings.Contains(got, fmt.Sprintf("%x", content)) {
				t.Errorf("%s of %T gives %s", format, v, got)
			}
		}
		var b strings.Builder
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		data, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		if got := b.String() + string(data); strings.Contains(got, content) {
			t.Errorf("%T is logged or marshalled as %s", v, got)
		}
	}
	if s.Reveal() != content || s.IsZero() || !(server.Secret{}).IsZero() || (server.Secret{}).Reveal() != "" || !server.NewSecret("").IsZero() {
		t.Error("the content got lost")
	}
}
