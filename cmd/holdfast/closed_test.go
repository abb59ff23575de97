package main

import (
	"slices"
	"testing"

	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/forecast"
)

// What the forecast calls closed is tried, those first who are refused whatever they have; what it calls open is not.
func TestClosed(t *testing.T) {
	yes, no := forecast.Way{Works: true}, forecast.Way{}
	got := closed([]forecast.Access{
		{Account: "alice", Kind: forecast.Admin, Key: yes, Password: no},
		{Account: "bob", Kind: forecast.Admin, Key: yes, Password: yes},
		{Account: "carol", Kind: forecast.Admin, Key: no, Password: no},
		{Account: "rescue", Kind: forecast.BreakGlass, Key: no, Password: no},
		{Account: "root", Kind: forecast.Root, Key: no, Password: no},
	})
	want := []closedAccount{{user: "carol", key: true, password: true}, {user: "root", key: true, password: true}, {user: "alice", password: true}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// An admin who is to lose the server proves nothing.
func TestStillIn(t *testing.T) {
	logins := []desk.Login{{User: "alice"}, {User: "bob"}, {User: "carol"}}
	got := stillIn(logins, []forecast.Access{
		{Account: "alice", Kind: forecast.Admin, Key: forecast.Way{Works: true}},
		{Account: "bob", Kind: forecast.Admin},
		{Account: "carol", Kind: forecast.Other},
	})
	if len(got) != 2 || got[0].User != "alice" || got[1].User != "carol" || logins[1].User != "bob" {
		t.Errorf("%+v of %+v", got, logins)
	}
}
