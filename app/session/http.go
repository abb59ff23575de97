package session

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// The names of the cookie, with TLS and with [Manager.InsecureHTTP].
const (
	Cookie         = "__Host-session"
	InsecureCookie = "insecure-session"
)

// key is that of a session in the context of a request.
type key struct{}

// Of returns the session that [Manager.Handler] or [Manager.Require] found for a
// request, and whether there is one. It is for handlers; functions below them take
// a Session as a parameter.
func Of(r *http.Request) (Session, bool) {
	s, ok := r.Context().Value(key{}).(Session)
	return s, ok
}

// Handler finds the session of each request and hands it to next, which reads it
// by [Of]. A request without a session is served too. If the store fails, next is
// not called and the answer is 503.
//
// next gets the ResponseWriter as it came: flushing, hijacking and
// [http.ResponseController] work as they do without it. An unknown token's cookie
// is left alone: it may belong to a request that was on its way while another one
// got a new token, and removing it would remove the new one.
func (m *Manager) Handler(next http.Handler) http.Handler { return m.handler(next, false) }

// Require is [Manager.Handler], but a request without a session is answered by
// [Manager.Refused].
func (m *Manager) Require(next http.Handler) http.Handler { return m.handler(next, true) }

func (m *Manager) handler(next http.Handler, required bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Cookie")
		s, err := m.Check(r)
		switch {
		case err == nil:
			// What is somebody's own is stored by no cache, unless next says so.
			w.Header().Set("Cache-Control", "no-store")
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, s)))
		case !errors.Is(err, ErrNoSession):
			http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		case !required:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, nil)))
		case m.Refused != nil:
			m.Refused.ServeHTTP(w, r)
		default:
			http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
		}
	})
}

func (m *Manager) name() string {
	if m.InsecureHTTP {
		return InsecureCookie
	}
	return Cookie
}

func (m *Manager) cookie(r *http.Request) (string, error) {
	all := r.CookiesNamed(m.name())
	switch len(all) {
	case 0:
		return "", ErrNoSession
	case 1:
		return all[0].Value, nil
	}
	return "", ErrAmbiguous
}

func (m *Manager) setCookie(w http.ResponseWriter, token string, r Record) {
	c := http.Cookie{Name: m.name(), Value: token, Path: "/", Secure: !m.InsecureHTTP, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if r.Remember {
		c.MaxAge = max(1, int(time.Until(r.Expires).Seconds()))
	}
	m.writeCookie(w, &c)
}

func (m *Manager) clearCookie(w http.ResponseWriter) {
	m.writeCookie(w, &http.Cookie{Name: m.name(), Path: "/", MaxAge: -1, Secure: !m.InsecureHTTP, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`) // OWASP ASVS 5.0, 14.3.1
}

// writeCookie replaces what this response says about the cookie already: a browser
// would keep whichever comes last.
func (m *Manager) writeCookie(w http.ResponseWriter, c *http.Cookie) {
	h := w.Header()
	rest := h["Set-Cookie"][:0:0]
	for _, line := range h["Set-Cookie"] {
		if got, err := http.ParseSetCookie(line); err != nil || got.Name != c.Name {
			rest = append(rest, line)
		}
	}
	h["Set-Cookie"] = append(rest, c.String())
	h.Set("Cache-Control", "no-store")
}
