// Package twilio sends short messages by Twilio's Messages API (2010-04-01), or by
// one that speaks the same: a POST of To, From and Body to
// /2010-04-01/Accounts/{AccountSid}/Messages.json with basic authentication, which is
// answered by 201 and the message's sid, or by an error with code and message.
//
//	sms := &twilio.Client{Account: "AC...", Token: token, From: "+15005550006"}
//	err := sms.Send(ctx, "+491701234567", "...")
//
// If the service does not answer with 201 and a sid, Send fails; the message may have
// been sent all the same.
package twilio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// ErrPhone says that a text is no phone number.
var ErrPhone = errors.New("unusable phone number")

// DefaultURL is where Twilio listens.
const DefaultURL = "https://api.twilio.com"

// maxBody is the longest text that the API takes, in characters.
const maxBody = 1600

// phone is E.164.
var phone = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// CheckPhone reports whether a text is a phone number as E.164 writes it, such as
// +491701234567, as an error wrapping [ErrPhone] if not.
func CheckPhone(number string) error {
	if !phone.MatchString(number) {
		return fmt.Errorf("not of the form +491701234567: %w", ErrPhone)
	}
	return nil
}

// An APIError is what the service answers when it does not send.
type APIError struct {
	Status  int    `json:"-"`    // of HTTP
	Code    int    `json:"code"` // Twilio's own
	Message string `json:"message"`
}

// Error says both numbers and the message.
func (e *APIError) Error() string {
	return fmt.Sprintf("status %d, error %d: %s", e.Status, e.Code, e.Message)
}

// A Client sends messages. Account, Token and From are needed.
type Client struct {
	Account string // AC...
	// Key is the user of the authentication, SK...; empty means Account.
	Key   string
	Token string // the secret of the key or the account
	// From is the sender's number, or MG... for a messaging service.
	From string
	// URL is the service's; empty means [DefaultURL].
	URL string
	// HTTP does the requests; nil means a client with a time-out of 10 s that
	// follows no redirect.
	HTTP *http.Client
}

// Send sends a text to a phone. The error wraps [ErrPhone], an [APIError], or says
// that the service could not be reached.
func (c *Client) Send(ctx context.Context, to, text string) error {
	if err := CheckPhone(to); err != nil {
		return err
	}
	if text == "" || len([]rune(text)) > maxBody {
		return fmt.Errorf("a text of %d characters, 1 to %d can be sent", len([]rune(text)), maxBody)
	}
	form := url.Values{"To": {to}, "Body": {text}, "From": {c.From}}
	if strings.HasPrefix(c.From, "MG") {
		form.Del("From")
		form.Set("MessagingServiceSid", c.From)
	}
	base := c.URL
	if base == "" {
		base = DefaultURL
	}
	page := strings.TrimRight(base, "/") + "/2010-04-01/Accounts/" + url.PathEscape(c.Account) + "/Messages.json"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, page, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	user := c.Key
	if user == "" {
		user = c.Account
	}
	req.SetBasicAuth(user, c.Token)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := c.client().Do(req)
	if err != nil {
		return fmt.Errorf("message: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("answer to a message: %w", err)
	}
	return answer(resp.StatusCode, body)
}

func answer(status int, body []byte) error {
	if status != http.StatusCreated {
		e := &APIError{Status: status}
		if err := json.Unmarshal(body, e); err != nil {
			e.Message = "no JSON"
		}
		return fmt.Errorf("message: %w", e)
	}
	var sent struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal(body, &sent); err != nil {
		return fmt.Errorf("answer to a message: %w", err)
	}
	if sent.SID == "" {
		return errors.New("answer to a message: no sid")
	}
	return nil
}

func (c *Client) client() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
