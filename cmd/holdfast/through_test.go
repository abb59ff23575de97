package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

// hop is a server of a role behind another.
func hop(name string, role server.Role, jump string) site.Server {
	return site.Server{Name: name, Roles: []server.Role{role}, Jump: jump}
}

// No server is changed before the one that it is reached through, whatever the
// order in the site file; what does not depend on each other goes side by side.
func TestInTurn(t *testing.T) {
	servers := []site.Server{
		hop("far", server.Application, "db-1"), hop("db-1", server.Database, "app-1"), hop("db-2", server.Database, ""),
		hop("app-2", server.Application, "app-1"), hop("app-1", server.Application, ""), hop("alone", server.Backup, ""),
	}
	for _, tt := range []struct {
		name     string
		pending  []string
		fails    string
		oneByOne bool
		want     string // name, and the seconds after which it was begun
	}{
		{name: "all", pending: []string{"far", "db-1", "db-2", "app-2", "app-1", "alone"},
			want: "[alone 0 app-1 0 db-2 0 app-2 1 db-1 1 far 2]"},
		{name: "one by one", pending: []string{"far", "db-1", "app-1", "alone"}, oneByOne: true,
			want: "[app-1 0 alone 1 db-1 2 far 3]"},
		{name: "the jump host needs nothing", pending: []string{"far", "db-1"}, want: "[db-1 0 far 1]"},
		{name: "the jump host fails", pending: []string{"far", "db-1", "app-1", "alone"}, fails: "app-1", want: "[alone 0 app-1 0]"},
		{name: "another fails", pending: []string{"db-1", "db-2", "app-1"}, fails: "db-2", want: "[app-1 0 db-2 0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				f := &fleet{app: &app{output: newOutput(&out, &out, false)}, site: &site.Site{Servers: servers}, servers: servers}
				f.progress = newProgress(f.output, 0, serverNames(servers))
				var pending []int
				for _, name := range tt.pending {
					pending = append(pending, slices.IndexFunc(servers, func(s site.Server) bool { return s.Name == name }))
				}
				began := time.Now()
				var mu sync.Mutex
				var order []string
				errs := f.inTurn(f.groups(pending, tt.oneByOne), func(i int) error {
					mu.Lock()
					order = append(order, fmt.Sprintf("%.0f %s", time.Since(began).Seconds(), servers[i].Name))
					mu.Unlock()
					time.Sleep(time.Second)
					if servers[i].Name == tt.fails {
						return errors.New("failed")
					}
					return nil
				})
				slices.Sort(order)
				for i, one := range order {
					var at int
					var name string
					if _, err := fmt.Sscan(one, &at, &name); err != nil {
						t.Fatal(err)
					}
					order[i] = fmt.Sprintf("%s %d", name, at)
				}
				if got := fmt.Sprint(order); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
				bad := 0
				for _, err := range errs {
					if err != nil {
						bad++
					}
				}
				if want := len(tt.pending) - len(order); tt.fails != "" && bad != want+1 || tt.fails == "" && bad != 0 {
					t.Errorf("%d errors: %v", bad, errs)
				}
			})
		})
	}
}

// Behind a server is what is reached through it, at whatever hop.
func TestBehind(t *testing.T) {
	f := &fleet{site: &site.Site{Servers: []site.Server{
		hop("a", "", ""), hop("b", "", "a"), hop("c", "", "b"), hop("d", "", ""),
	}}}
	for name, want := range map[string]string{"a": "[b c]", "b": "[c]", "c": "[]", "d": "[]"} {
		if got := fmt.Sprint(serverNames(f.behind(name))); got != want {
			t.Errorf("behind %s is %s, want %s", name, got, want)
		}
	}
}
