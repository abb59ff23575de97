package login_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/throttle"
)

// loginHandler is the POST of a login form.
func loginHandler(service *login.Service, hashing *gate.Gate) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a := login.Attempt{ID: r.FormValue("id"), Password: r.FormValue("password")}
		if client, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			a.Addr = client.Addr()
		}
		if c, err := r.Cookie(throttle.DeviceCookie); err == nil {
			a.Device = c.Value
		}
		in, err := service.Login(r.Context(), a)
		var many *throttle.TooManyError
		switch {
		case err == nil:
			http.SetCookie(w, service.Throttle.Cookie(in.Device))
			fmt.Fprintf(w, "welcome, %s", in.Account.ID) // here the session begins
		case errors.Is(err, login.ErrDenied):
			http.Error(w, "login id or password is wrong", http.StatusForbidden)
		case errors.As(err, &many):
			w.Header().Set("Retry-After", strconv.Itoa(int(many.RetryAfter.Seconds())))
			http.Error(w, "too many attempts", http.StatusTooManyRequests)
		case errors.Is(err, gate.ErrBusy):
			w.Header().Set("Retry-After", strconv.Itoa(int(hashing.RetryAfter().Seconds())))
			http.Error(w, "too busy", http.StatusServiceUnavailable)
		default:
			http.Error(w, "error", http.StatusInternalServerError)
		}
	}
}

func Example() {
	ctx := context.Background()
	ring, err := keyring.Parse(keyring.Generate()) // from a key file
	if err != nil {
		fmt.Println(err)
		return
	}
	store := memory.New() // or one of app/store
	hashing := &gate.Gate{}
	service := &login.Service{
		Accounts: store, Links: store,
		Hasher:   &password.Hasher{Legacy: password.Legacy(), Gate: hashing},
		Throttle: &throttle.Limiter{Store: store, Keys: ring},
		LinkMail: func(a login.Account, token string) outbox.Mail {
			return outbox.Mail{Subject: "Your login", Text: "Somebody tries passwords on your account. To log in yourself: https://todo.example.org/device?token=" + token}
		},
	}

	// Imported from an old program: MD5 of "password1".
	id, err := login.ParseID("Anna@example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := store.AddAccount(ctx, login.NewAccount(id, "anna@example.org", "7c6a180b36896a0a8c02787eeafb0e4c")); err != nil {
		fmt.Println(err)
		return
	}
	if err := service.Measure(ctx); err != nil {
		fmt.Println(err)
		return
	}

	server := httptest.NewServer(loginHandler(service, hashing))
	defer server.Close()
	for _, form := range []url.Values{
		{"id": {"nobody"}, "password": {"password1"}},
		{"id": {"anna@example.org"}, "password": {"password2"}},
		{"id": {"ANNA@example.org"}, "password": {"password1"}},
	} {
		resp, err := http.PostForm(server.URL, form)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	a, err := store.FindAccount(ctx, id)
	fmt.Println(strings.HasPrefix(a.Password, "$argon2id$v=19$m=19456,t=2,p=1$"), err)
	// Output:
	// 403 Forbidden
	// 403 Forbidden
	// 200 OK
	// true <nil>
}

func ExampleParseID() {
	for _, typed := range []string{"José", "jose\u0301", "ＪＯＳÉ", "joſé", "josé "} {
		id, err := login.ParseID(typed)
		fmt.Printf("%q %v\n", id, errors.Is(err, login.ErrID))
	}
	// Output:
	// "josé" false
	// "josé" false
	// "josé" false
	// "" true
	// "" true
}
