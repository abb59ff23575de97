package appconfig_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/appconfig"
)

const text = "hunter2-and-more"

type config struct {
	Database appconfig.Secret
	Keys     []appconfig.Secret
	Pointer  *appconfig.Secret
	hidden   appconfig.Secret
	inner    struct{ s appconfig.Secret }
}

// However a secret is printed, alone or in something, it is not shown.
func TestSecretDoesNotPrint(t *testing.T) {
	s := appconfig.NewSecret(text)
	c := config{Database: s, Keys: []appconfig.Secret{s}, Pointer: &s, hidden: s}
	c.inner.s = s
	var out bytes.Buffer
	for _, v := range []any{s, &s, c, &c, map[string]any{"c": c}, fmt.Errorf("with %v", s), []any{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%o", "%c"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(h).Info("m", "v", v)
		}
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(j)
	}
	if err := template.Must(template.New("").Parse(`{{.Database}} {{index .Keys 0}} <a href="{{.Database}}">`)).Execute(&out, c); err != nil {
		t.Fatal(err)
	}
	for _, leak := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), strings.ToUpper(text)} {
		if i := strings.Index(out.String(), leak); i >= 0 {
			t.Errorf("shown: %s", out.String()[max(0, i-60):min(out.Len(), i+60)])
		}
	}
	if !strings.Contains(out.String(), "REDACTED") {
		t.Error("nothing was printed")
	}
	if s.Reveal() != text {
		t.Error("the text is lost")
	}
}

func TestSecretDecodes(t *testing.T) {
	var c config
	if err := json.Unmarshal([]byte(`{"Database": "`+text+`"}`), &c); err != nil || c.Database.Reveal() != text {
		t.Errorf("%v", err)
	}
	written, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(written, &c); err == nil || strings.Contains(err.Error(), text) {
		t.Errorf("a configuration that was written out is read: %v", err)
	}
	var zero appconfig.Secret
	if !zero.IsZero() || zero.Reveal() != "" || !zero.Equal(appconfig.NewSecret("")) || zero.Equal(c.Database) || !c.Database.Equal(appconfig.NewSecret(text)) {
		t.Error("the zero secret")
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, s := range []string{"", "production", "Production", "prod", "development", "development ", "testing", "dev"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := appconfig.ParseProfile(s)
		if err == nil && string(p) != s || err != nil && !errors.Is(err, appconfig.ErrProfile) {
			t.Errorf("%q: %v, %v", s, p, err)
		}
		if err != nil && !p.Strict() {
			t.Errorf("%q fails open", s)
		}
	})
}

func Example() {
	var c struct {
		Profile  appconfig.Profile
		Database appconfig.Secret
	}
	err := json.Unmarshal([]byte(`{"Profile": "production", "Database": "postgres://todo:hunter2@db/todo"}`), &c)
	fmt.Printf("%+v %v\n", c, err)
	fmt.Println(len(c.Database.Reveal()), c.Profile.Strict())

	_, err = appconfig.ParseProfile("")
	fmt.Println(err)
	// Output:
	// {Profile:production Database:REDACTED} <nil>
	// 31 true
	// "": the profile is not production, development or testing
}
