package recovery

import (
	"errors"
	"net/http"
	"time"
)

// Cookie is the name of the cookie that carries a token from the GET of a link to
// the POST of its form.
const Cookie = "__Host-holdfast-link"

// A Page is what the form shows.
type Page struct {
	// Gone says that the link is not good, or not good any more.
	Gone bool
	// Weak is why the password may not be chosen; nil if it was not tried.
	Weak *WeakError
	// Done says that the password was set.
	Done bool
	// Err is an error of ours, for the log and not for the page.
	Err error
}

// Handler serves [Service.ResetURL]. The GET of a link moves the token from the URL
// into a cookie, so that it is neither in the browser's history nor in a Referer,
// and redirects to the page without it; that shows the form. The POST of the form,
// with the field "password", spends the token. render writes the body; status and
// headers are set.
//
// The handler does not check where a POST comes from: the program's guard against
// forged requests is in front of it, as for every form.
func (s *Service[S]) Handler(render func(w http.ResponseWriter, r *http.Request, p Page)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		token := ""
		if c, err := r.Cookie(Cookie); err == nil {
			token = c.Value
		}
		p := Page{}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			if fresh := r.URL.Query().Get("token"); fresh != "" {
				http.SetCookie(w, linkCookie(fresh, s.life()))
				h.Set("Location", s.ResetURL)
				w.WriteHeader(http.StatusSeeOther)
				return
			}
			p.set(s.Look(r.Context(), token))
		case http.MethodPost:
			p.set(s.Reset(r.Context(), token, r.PostFormValue("password")))
			p.Done = !p.Gone && p.Weak == nil && p.Err == nil
			if p.Done || p.Gone {
				http.SetCookie(w, linkCookie("", -time.Second))
			}
		default:
			h.Set("Allow", "GET, HEAD, POST")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		w.WriteHeader(p.status())
		render(w, r, p)
	})
}

func (p *Page) set(err error) {
	switch {
	case errors.Is(err, ErrNoToken):
		p.Gone = true
	case !errors.As(err, &p.Weak):
		p.Err = err
	}
}

func (p *Page) status() int {
	switch {
	case p.Err != nil:
		return http.StatusInternalServerError
	case p.Gone:
		return http.StatusGone
	case p.Weak != nil:
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

func (s *Service[S]) life() time.Duration {
	if s.Life <= 0 {
		return DefaultLife
	}
	return s.Life
}

func linkCookie(value string, life time.Duration) *http.Cookie {
	age := max(int(life.Seconds()), 1)
	if life < 0 {
		age = -1
	}
	return &http.Cookie{
		Name: Cookie, Value: value, Path: "/", MaxAge: age,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
