package twilio

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A server that answers as Twilio documents.
func service(t *testing.T, got *[]string) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2010-04-01/Accounts/{sid}/Messages.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fail := func(status, code int, message string) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"code": %d, "message": %q, "more_info": "https://www.twilio.com/docs/errors/%d", "status": %d}`, code, message, code, status)
		}
		user, token, ok := r.BasicAuth()
		switch {
		case !ok || user != r.PathValue("sid") && user != "SKkey" || token != "secret":
			fail(401, 20003, "Authenticate")
		case r.PostFormValue("To") == "+15005550001":
			fail(400, 21211, "The 'To' number +15005550001 is not a valid phone number.")
		case r.PostFormValue("From") == "" && r.PostFormValue("MessagingServiceSid") == "":
			fail(400, 21603, "A 'From' phone number is required.")
		case r.PostFormValue("To") == "+15005550008":
			w.WriteHeader(201)
			fmt.Fprint(w, `{"status": "queued"}`)
		case r.PostFormValue("To") == "+15005550007":
			w.WriteHeader(502)
			fmt.Fprint(w, `<html>`)
		default:
			*got = append(*got, r.PostFormValue("From")+r.PostFormValue("MessagingServiceSid")+" "+r.PostFormValue("To")+" "+r.PostFormValue("Body"))
			w.WriteHeader(201)
			fmt.Fprint(w, `{"sid": "SM90c6fc909d8504d45ecdb3a3d5b3556e", "status": "queued", "error_code": null, "error_message": null}`)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func TestSend(t *testing.T) {
	var got []string
	server := service(t, &got)
	c := &Client{Account: "AC1", Token: "secret", From: "+15005550006", URL: server.URL + "/"}
	if err := c.Send(t.Context(), "+491701234567", "Grüße & 1 + 1 = 2"); err != nil {
		t.Errorf("Send: %v", err)
	}
	for _, c := range []*Client{
		{Account: "AC1", Key: "SKkey", Token: "secret", From: "+15005550006", URL: server.URL},
		{Account: "AC1", Token: "secret", From: "MG1", URL: server.URL},
	} {
		if err := c.Send(t.Context(), "+491701234567", "x"); err != nil {
			t.Errorf("Send: %v", err)
		}
	}
	want := []string{"+15005550006 +491701234567 Grüße & 1 + 1 = 2", "+15005550006 +491701234567 x", "MG1 +491701234567 x"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	var api *APIError
	if err := c.Send(t.Context(), "+15005550001", "x"); !errors.As(err, &api) || api.Code != 21211 || api.Status != 400 {
		t.Errorf("a number that the service refuses: %v", err)
	}
	wrong := &Client{Account: "AC1", Token: "other", From: "+15005550006", URL: server.URL}
	if err := wrong.Send(t.Context(), "+491701234567", "x"); !errors.As(err, &api) || api.Code != 20003 || strings.Contains(err.Error(), "other") {
		t.Errorf("a wrong token: %v", err)
	}
	for _, to := range []string{"+15005550007", "+15005550008"} {
		if err := c.Send(t.Context(), to, "x"); err == nil {
			t.Errorf("an answer that is none counts as sent")
		}
	}
	for _, to := range []string{"", "01701234567", "+0170", "+49170123456789012", "+49170\r\n123456", "+49170123456&From=x"} {
		if err := c.Send(t.Context(), to, "x"); !errors.Is(err, ErrPhone) {
			t.Errorf("Send to %q: %v", to, err)
		}
	}
	for _, text := range []string{"", strings.Repeat("ä", maxBody+1)} {
		if err := c.Send(t.Context(), "+491701234567", text); err == nil {
			t.Errorf("a text of %d bytes is sent", len(text))
		}
	}
	if len(got) != len(want) {
		t.Errorf("refused messages were sent: %q", got)
	}
	server.Close()
	if err := c.Send(t.Context(), "+491701234567", "x"); err == nil {
		t.Error("a service that is gone takes a message")
	}
}
