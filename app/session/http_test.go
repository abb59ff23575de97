package session_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/session"
	"github.com/holdfast-security/holdfast/app/store/memory"
)

// loggedIn returns a manager over a store with one account, and its cookie.
func loggedIn(t testing.TB, m *session.Manager) *http.Cookie {
	t.Helper()
	s := memory.New()
	a := login.NewAccount("anna", "", "")
	if err := s.AddAccount(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	m.Store = s
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	if _, err := m.Start(w, r, session.Proof{Account: a.Key, By: "password"}); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// On the test's own clock: used every ten minutes a session lives for its whole
// lifetime and no longer, unused it ends by its idle time.
func TestClock(t *testing.T) {
	for _, c := range []struct {
		every, lives time.Duration
	}{
		{10 * time.Minute, session.DefaultLifetime},
		{session.DefaultIdle, session.DefaultIdle},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &session.Manager{}
			cookie, start := loggedIn(t, m), time.Now()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.AddCookie(cookie)
			for {
				time.Sleep(c.every)
				if _, err := m.Check(r); err != nil {
					break
				}
			}
			if lived := time.Since(start); lived != c.lives {
				t.Errorf("used every %v it lives for %v, want %v", c.every, lived, c.lives)
			}
		})
	}
}

func TestRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &session.Manager{}
		loggedIn(t, m)
		a := login.NewAccount("ben", "", "")
		if err := m.Store.(*memory.Store).AddAccount(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		const month = 30 * 24 * time.Hour
		if _, err := m.Start(w, httptest.NewRequest(http.MethodPost, "/", nil), session.Proof{Account: a.Key, Remember: month}); err != nil {
			t.Fatal(err)
		}
		cookie := w.Result().Cookies()[0]
		if cookie.MaxAge != int(month.Seconds()) {
			t.Errorf("the cookie lasts for %d s", cookie.MaxAge)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(cookie)
		time.Sleep(month - time.Second)
		if _, err := m.Check(r); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if _, err := m.Check(r); err == nil {
			t.Error("it lives on")
		}
	})
}

// Flushing, hijacking and deadlines work through the middleware on a real server.
func TestMiddlewareKeepsTheWriter(t *testing.T) {
	m := &session.Manager{}
	cookie := loggedIn(t, m)
	mux := http.NewServeMux()
	go1, stop := make(chan struct{}), make(chan struct{})
	mux.Handle("/flush", m.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		fmt.Fprint(w, "first\n")
		for what, err := range map[string]error{
			"Flush": c.Flush(), "SetWriteDeadline": c.SetWriteDeadline(time.Now().Add(time.Minute)),
			"SetReadDeadline": c.SetReadDeadline(time.Now().Add(time.Minute)), "EnableFullDuplex": c.EnableFullDuplex(),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, ok := w.(http.Flusher); !ok {
			t.Error("no Flusher")
		}
		close(go1)
		<-stop // the first line arrives while the handler is still at work
	})))
	mux.Handle("/hijack", m.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 299 Own\r\nContent-Length: 0\r\n\r\n")
	})))
	server := httptest.NewServer(mux)
	defer server.Close()
	get := func(path string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(cookie)
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	line, err := bufio.NewReader(get("/flush").Body).ReadString('\n')
	if err != nil || line != "first\n" {
		t.Errorf("%q, %v", line, err)
	}
	<-go1
	close(stop)
	if got := get("/hijack"); got.StatusCode != 299 {
		t.Errorf("status %d from a hijacked connection", got.StatusCode)
	}
}

func TestHandlers(t *testing.T) {
	m := &session.Manager{}
	cookie := loggedIn(t, m)
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok := session.Of(r)
		io.WriteString(w, fmt.Sprint(ok, who.Account() != ""))
	})
	ask := func(h http.Handler, c *http.Cookie) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		if c != nil {
			r.AddCookie(c)
		}
		h.ServeHTTP(w, r)
		return w
	}
	in := ask(m.Handler(page), cookie)
	if in.Body.String() != "true true" || in.Header().Get("Cache-Control") != "no-store" || in.Header().Get("Vary") != "Cookie" {
		t.Errorf("with a session: %q, %v", in.Body, in.Header())
	}
	if got := ask(m.Handler(page), nil).Body.String(); got != "false false" {
		t.Errorf("without: %q", got)
	}
	// An outer handler's session is not inherited by a request that has none here.
	if got := ask(m.Handler((&session.Manager{Store: m.Store, InsecureHTTP: true}).Handler(page)), cookie).Body.String(); got != "false false" {
		t.Errorf("inside another: %q", got)
	}
	if w := ask(m.Require(page), nil); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "false") {
		t.Errorf("required: %d, %q", w.Code, w.Body)
	}
	m.Refused = http.RedirectHandler("/login", http.StatusSeeOther)
	if w := ask(m.Require(page), nil); w.Code != http.StatusSeeOther {
		t.Errorf("required, with a page of one's own: %d", w.Code)
	}
}

func TestInsecureHTTP(t *testing.T) {
	m := &session.Manager{InsecureHTTP: true}
	c := loggedIn(t, m)
	if c.Name != session.InsecureCookie || c.Secure || !c.HttpOnly {
		t.Errorf("cookie %v", c)
	}
	// A program with TLS does not take it.
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(c)
	if _, err := (&session.Manager{Store: m.Store}).Check(r); err == nil {
		t.Error("a cookie of development is good with TLS")
	}
}

func Example() {
	s := memory.New() // or one of app/store
	sessions := &session.Manager{Store: s}
	anna := login.NewAccount("anna", "", "")
	if err := s.AddAccount(context.Background(), anna); err != nil {
		fmt.Println(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// after login.Service.Login:
		_, err := sessions.Start(w, r, session.Proof{Account: anna.Key, Epoch: anna.Epoch, By: "password"})
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	mux.Handle("GET /me", sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := session.Of(r)
		fmt.Fprint(w, who.Account() == anna.Key)
	})))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/me", nil))
	fmt.Println(w.Code)
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/login", nil))
	cookie := w.Result().Cookies()[0]
	fmt.Println(cookie.Name, cookie.HttpOnly, cookie.Secure)
	r := httptest.NewRequest(http.MethodGet, "/me", nil)
	r.AddCookie(cookie)
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 401
	// __Host-session true true
	// 200 true
}
