package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/recovery"
	"github.com/holdfast-security/holdfast/app/recovery/recoverytest"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/throttle"
)

func TestPromises(t *testing.T) {
	recoverytest.Run(t, func(*testing.T) *memory.Store { return memory.New() })
}

// faulty fails one call of the store.
type faulty struct {
	*memory.Store
	left  *int
	fired *bool
}

var errFault = errors.New("injected fault")

func (f faulty) hit() error {
	if *f.left == 0 {
		return nil
	}
	if *f.left--; *f.left == 0 {
		*f.fired = true
		return errFault
	}
	return nil
}

func (f faulty) Tx(ctx context.Context, fn func(tx faulty) error) error {
	return f.Store.Tx(ctx, func(tx *memory.Store) error {
		if err := fn(faulty{tx, f.left, f.fired}); err != nil {
			return err
		}
		return f.hit() // the commit
	})
}

func (f faulty) SpendToken(ctx context.Context, hash [32]byte, purpose string, now time.Time) (recovery.Token, error) {
	t, err := f.Store.SpendToken(ctx, hash, purpose, now)
	return t, errors.Join(err, f.hit())
}

func (f faulty) Account(ctx context.Context, key string) (login.Account, error) {
	a, err := f.Store.Account(ctx, key)
	return a, errors.Join(err, f.hit())
}

func (f faulty) SetPassword(ctx context.Context, key, hash string) error {
	return errors.Join(f.Store.SetPassword(ctx, key, hash), f.hit())
}

func (f faulty) DropTokens(ctx context.Context, account string, now time.Time) error {
	return errors.Join(f.Store.DropTokens(ctx, account, now), f.hit())
}

func (f faulty) EndSessions(ctx context.Context, account, keep string) (int, error) {
	n, err := f.Store.EndSessions(ctx, account, keep)
	return n, errors.Join(err, f.hit())
}

func (f faulty) PutMail(ctx context.Context, m outbox.Mail) error {
	return errors.Join(f.Store.PutMail(ctx, m), f.hit())
}

func TestFaults(t *testing.T) {
	f := faulty{memory.New(), new(int), new(bool)}
	recoverytest.Faults(t, f, func(n int) bool {
		fired := *f.fired
		*f.left, *f.fired = n, false
		return fired
	})
}

func TestLink(t *testing.T) {
	for page, want := range map[string]string{
		"https://todo.example.org/reset":         "https://todo.example.org/reset?token=a%26b",
		"http://127.0.0.1:8080/reset":            "http://127.0.0.1:8080/reset?token=a%26b",
		"http://localhost/reset":                 "http://localhost/reset?token=a%26b",
		"http://todo.example.org/reset":          "",
		"//todo.example.org/reset":               "",
		"/reset":                                 "",
		"":                                       "",
		"https:///reset":                         "",
		"https://todo.example.org/reset?next=x":  "",
		"https://todo.example.org/reset#x":       "",
		"https://user@todo.example.org/reset":    "",
		"javascript:alert(1)":                    "",
		"https://todo.example.org:port/reset":    "",
		"http://127.0.0.1.example.org/reset":     "",
		"http://localhost.example.org/reset":     "",
		"https://todo.example.org/reset\r\nX: y": "",
	} {
		if got, err := recovery.Link(page, "a&b"); got != want || (err == nil) != (want != "") {
			t.Errorf("Link(%q) = %q, %v", page, got, err)
		}
	}
}

// A browser follows the link, with a mail scanner before it.
func TestPage(t *testing.T) {
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	s := memory.New()
	a := login.NewAccount("anna", "anna@example.org", "")
	if err := s.AddAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	service := &recovery.Service[*memory.Store]{
		Store: s, Hasher: &password.Hasher{}, Throttle: &throttle.Limiter{Store: s, Keys: ring},
		Mail:   func(_ login.Account, link string) outbox.Mail { return outbox.Mail{Text: link} },
		Notice: func(login.Account) outbox.Mail { return outbox.Mail{} },
	}
	server := httptest.NewTLSServer(service.Handler(func(w http.ResponseWriter, _ *http.Request, p recovery.Page) {
		switch {
		case p.Gone:
			io.WriteString(w, "gone")
		case p.Weak != nil:
			io.WriteString(w, p.Weak.Violations[0].Message)
		case p.Done:
			io.WriteString(w, "done")
		default:
			io.WriteString(w, "form")
		}
	}))
	defer server.Close()
	service.ResetURL = server.URL + "/reset"
	if _, err := service.Send(t.Context(), a.Key); err != nil {
		t.Fatal(err)
	}
	m, ok, err := s.LeaseMail(t.Context(), time.Now(), time.Now())
	if err != nil || !ok {
		t.Fatal(err)
	}

	scanner, browser := *server.Client(), *server.Client()
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	scanner.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	read := func(resp *http.Response, err error) (string, *http.Response) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body), resp
	}
	_, resp := read(scanner.Get(m.Text))
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != service.ResetURL || resp.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the GET of a link: %v", resp)
	}
	if c := resp.Header.Get("Set-Cookie"); !strings.Contains(c, "HttpOnly; Secure; SameSite=Lax") || !strings.HasPrefix(c, recovery.Cookie+"=") {
		t.Errorf("cookie %s", c)
	}
	if body, resp := read(browser.Get(m.Text)); body != "form" || resp.Request.URL.RawQuery != "" {
		t.Errorf("the browser shows %q at %s", body, resp.Request.URL)
	}
	post := func(c *http.Client, pw string) (string, *http.Response) {
		t.Helper()
		return read(c.PostForm(service.ResetURL, url.Values{"password": {pw}}))
	}
	if body, resp := post(&scanner, "no cookie no password"); body != "gone" || resp.StatusCode != http.StatusGone {
		t.Errorf("a POST without the cookie: %s %s", resp.Status, body)
	}
	if _, resp := post(&browser, "short"); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a weak password: %s", resp.Status)
	}
	if body, resp := post(&browser, "some words of mine"); body != "done" || resp.StatusCode != http.StatusOK {
		t.Errorf("the POST: %s %s", resp.Status, body)
	}
	if body, _ := read(browser.Get(m.Text)); body != "gone" {
		t.Errorf("the link again: %s", body)
	}
}

func Example() {
	ctx, s := context.Background(), memory.New()
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		fmt.Println(err)
		return
	}
	anna := login.NewAccount("anna", "anna@example.org", "")
	if err := s.AddAccount(ctx, anna); err != nil {
		fmt.Println(err)
		return
	}
	service := &recovery.Service[*memory.Store]{
		Store: s, Hasher: &password.Hasher{}, Throttle: &throttle.Limiter{Store: s, Keys: ring},
		ResetURL: "https://todo.example.org/reset",
		Mail: func(_ login.Account, link string) outbox.Mail {
			return outbox.Mail{Subject: "A new password", Text: link}
		},
		Notice: func(login.Account) outbox.Mail { return outbox.Mail{Subject: "Your password was changed"} },
	}
	client := netip.MustParseAddr("192.0.2.7")
	for _, typed := range []string{"anna", "nobody"} {
		fmt.Println(typed, service.Request(ctx, typed, client))
	}
	m, _, err := s.LeaseMail(ctx, time.Now(), time.Now().Add(time.Minute)) // by outbox.Deliver
	if err != nil {
		fmt.Println(err)
		return
	}
	link, token, _ := strings.Cut(m.Text, "?token=")
	fmt.Println("to", m.To, link)
	fmt.Println("first click:", service.Reset(ctx, token, "some words of mine"))
	fmt.Println("second click:", service.Reset(ctx, token, "some words of mine"))
	// Output:
	// anna <nil>
	// nobody <nil>
	// to anna@example.org https://todo.example.org/reset
	// first click: <nil>
	// second click: no such link
}
