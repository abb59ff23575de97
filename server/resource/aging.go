package resource

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
)

// An Aging is the age of an account's password, which is to have no end: neither
// the password nor the account expires. An expired account refuses everybody
// who becomes it, with a password or without one, so that root's breaks
// "sudo su -".
type Aging struct {
	// Account is the account's name.
	Account string `json:"account"`
}

// aging are the fields of shadow(5) after the password, with the options with
// which chage sets them; the sixth, which is unused, is left out.
var aging = []string{"--lastday", "--mindays", "--maxdays", "--warndays", "--inactive", "--expiredate"}

// endless is how many days count as no end: passwd's own default is 99999.
const endless = 99999

// Name returns "password age NAME".
func (a Aging) Name() string { return "password age " + a.Account }

// Want returns "never expires".
func (a Aging) Want() server.State { return "never expires" }

// Accepts reports whether a state has no end.
func (a Aging) Accepts(s server.State) bool {
	if s == a.Want() {
		return true
	}
	f := strings.Split(strings.TrimPrefix(string(s), "days "), ":")
	if len(f) != len(aging) {
		return false
	}
	days, err := strconv.Atoi(f[2])
	return f[0] != "0" && (f[2] == "" || err == nil && (days < 0 || days >= endless)) && f[5] == ""
}

// Get returns the fields from the day of the last change to the day of expiry,
// such as "days 20780:0:99999:7::"; the empty state if there is no such account.
func (a Aging) Get(ctx context.Context, r server.Reader) (server.State, error) {
	e, err := r.Read(ctx, "/etc/shadow")
	if err != nil {
		return "", err
	}
	l, found, err := accounts.ParseShadow(e.Content, a.Account)
	if err != nil || !found {
		return "", err
	}
	days := []string{l.Changed, l.Min, l.Max, l.Warn, l.Inactive, l.Expires}
	return server.State("days " + strings.Join(days, ":")), nil
}

// Set takes the end away, or puts back the fields that s has.
func (a Aging) Set(ctx context.Context, h server.Host, s server.State) error {
	now, err := a.Get(ctx, h)
	if err != nil || now == s {
		return err
	}
	if now == "" {
		return fmt.Errorf("there is no account %s", a.Account)
	}
	have := strings.Split(strings.TrimPrefix(string(now), "days "), ":")
	want := strings.Split(strings.TrimPrefix(string(s), "days "), ":")
	if s == a.Want() {
		want = append([]string{}, have...)
		want[2], want[5] = strconv.Itoa(endless), ""
		if want[0] == "0" {
			// Any day but 0 will do; a fixed one makes a second try the same.
			want[0] = "1"
		}
	}
	if len(want) != len(aging) {
		return fmt.Errorf("a state is %q", s)
	}
	argv := []string{"chage"}
	for i, option := range aging {
		if want[i] == have[i] {
			continue
		}
		value := want[i]
		if value == "" {
			value = "-1" // which chage writes as an empty field
		}
		argv = append(argv, option, value)
	}
	if len(argv) == 1 {
		return nil
	}
	return h.Run(ctx, "", append(argv, a.Account)...)
}
