package access_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/access"
	"github.com/holdfast-security/holdfast/app/access/accesstest"
	"github.com/holdfast-security/holdfast/app/store/memory"
)

func TestPromises(t *testing.T) {
	accesstest.Run(t, func(*testing.T) *memory.Store { return memory.New() })
}

func TestNew(t *testing.T) {
	for what, err := range map[string]error{
		"undeclared": second(access.New([]access.Permission{"a"}, map[access.Role]access.Rights{"r": {All: []access.Permission{"b"}}})),
		"twice":      second(access.New([]access.Permission{"a", "a"}, nil)),
		"empty":      second(access.New([]access.Permission{""}, nil)),
		"no name":    second(access.New(nil, map[access.Role]access.Rights{"": {}})),
	} {
		if !errors.Is(err, access.ErrPolicy) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second(_ *access.Policy, err error) error { return err }

type verified string

func (v verified) Account() string { return string(v) }

type down struct{ access.Directory }

var errDown = errors.New("the database is down")

func (down) Roles(context.Context, string) ([]access.Role, error) {
	return []access.Role{"admin"}, errDown
}

// Who cannot be identified is nobody.
func TestFailsClosed(t *testing.T) {
	who, err := access.Identify(t.Context(), down{}, verified("anna"))
	if !errors.Is(err, errDown) || who.Account() != "" || len(who.Roles()) != 0 {
		t.Errorf("Identify with a broken store: %+v, %v", who, err)
	}
	for _, v := range []access.Verified{nil, verified("")} {
		if _, err := access.Identify(t.Context(), down{}, v); !errors.Is(err, access.ErrNobody) {
			t.Errorf("Identify(%v): %v", v, err)
		}
	}
	policy, err := access.New([]access.Permission{"a"}, map[access.Role]access.Rights{"r": {All: []access.Permission{"a"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := memory.New()
	for _, c := range []struct {
		who  func(*http.Request) (access.Identity, error)
		want int
	}{
		{func(r *http.Request) (access.Identity, error) { return access.Identify(r.Context(), s, verified("")) }, 403},
		{func(r *http.Request) (access.Identity, error) { return access.Identify(r.Context(), s, verified("x")) }, 403},
		{func(*http.Request) (access.Identity, error) { return access.Identity{}, errDown }, 503},
		{func(*http.Request) (access.Identity, error) { return access.IdentifyBearer(claims{}) }, 200},
	} {
		w := httptest.NewRecorder()
		next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
		policy.Require("a", c.who)(next).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/?user=admin", nil))
		if w.Code != c.want {
			t.Errorf("status %d, want %d", w.Code, c.want)
		}
	}
}

type claims struct{}

func (claims) Account() string      { return "anna" }
func (claims) Roles() []access.Role { return []access.Role{"r"} }

// No function returns an Identity for text or for a request: a name that somebody
// sent cannot become one.
func TestIdentityIsNeverText(t *testing.T) {
	makers := 0
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !returnsIdentity(fn) {
				continue
			}
			makers++
			for _, p := range fn.Type.Params.List {
				switch typ := fmt.Sprintf("%v", p.Type); typ {
				case "Directory", "Verified", "Bearer", "&{context Context}":
				default:
					t.Errorf("%s makes an Identity from a %s", fn.Name.Name, typ)
				}
			}
		}
	}
	if makers != 2 {
		t.Errorf("%d functions make an Identity", makers)
	}
}

func returnsIdentity(fn *ast.FuncDecl) bool {
	if fn.Type.Results == nil {
		return false
	}
	for _, r := range fn.Type.Results.List {
		if id, ok := r.Type.(*ast.Ident); ok && id.Name == "Identity" {
			return true
		}
	}
	return false
}

func Example() {
	policy, err := access.New(
		[]access.Permission{"todo.write"},
		map[access.Role]access.Rights{"r": {Own: []access.Permission{"todo.write"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	anna, err := access.IdentifyBearer(claims{}) // or Identify, for a session
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(policy.Check(anna, "todo.write", access.Object{Owner: "anna"}))
	fmt.Println(policy.Check(anna, "todo.write", access.Object{Owner: "ben"}))
	// Output:
	// <nil>
	// todo.write: permission denied
}
