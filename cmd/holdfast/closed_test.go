package main

import (
	"slices"
	"testing"

	"github.com/holdfast-security/holdfast/server/forecast"
)

// What the forecast calls closed is tried, root first; what it calls open is not.
func TestClosed(t *testing.T) {
	yes, no := forecast.Way{Works: true}, forecast.Way{}
	got := closed([]forecast.Access{
		{Account: "alice", Kind: forecast.Admin, Key: yes, Password: no},
		{Account: "bob", Kind: forecast.Admin, Key: yes, Password: yes},
		{Account: "rescue", Kind: forecast.BreakGlass, Key: no, Password: no},
		{Account: "root", Kind: forecast.Root, Key: no, Password: no},
	})
	want := []closedAccount{{user: "root", key: true, password: true}, {user: "alice", password: true}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
