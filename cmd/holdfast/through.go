package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/site"
)

// depth is how many jump hosts stand before a server.
func (f *fleet) depth(srv site.Server) int {
	n := 0
	for srv.Jump != "" {
		srv, _ = f.site.Server(srv.Jump)
		n++
	}
	return n
}

// jumpsFirst sorts servers so that each comes after those that it is reached
// through.
func (f *fleet) jumpsFirst(indices []int) {
	slices.SortStableFunc(indices, func(a, b int) int {
		return cmp.Compare(f.depth(f.servers[a]), f.depth(f.servers[b]))
	})
}

// jumpOf is the index of the server that the one at i is reached through, if the
// command is about that one, too.
func (f *fleet) jumpOf(i int) (int, bool) {
	via := slices.IndexFunc(f.servers, func(s site.Server) bool { return s.Name == f.servers[i].Jump })
	return via, via >= 0
}

// behind are the servers of the site that are reached through one, at the first
// jump or at a later one.
func (f *fleet) behind(name string) []site.Server {
	var all []site.Server
	for _, srv := range f.site.Servers {
		for via := srv; via.Jump != ""; via, _ = f.site.Server(via.Jump) {
			if via.Jump == name {
				all = append(all, srv)
				break
			}
		}
	}
	return all
}

// carriesTo looks whether a server can be reached, with a new login to every jump
// host before it and a key exchange with the server itself, whose key must be the
// pinned one. It does not log in to it: nobody is asked anything.
func (r *transactions) carriesTo(ctx context.Context, srv site.Server) error {
	_, err := r.desk.Try(ctx, r.target(srv), desk.Login{User: r.logins()[0].User})
	return err
}

// paths are the servers that can be reached through one before it is changed.
func (r *transactions) paths(ctx context.Context, srv site.Server) []site.Server {
	all := r.behind(srv.Name)
	errs := desk.Each(ctx, all, 0, time.Minute, r.carriesTo)
	var open []site.Server
	for i, err := range errs {
		if err == nil {
			open = append(open, all[i])
		}
	}
	return open
}

// stillCarries makes sure that what could be reached through a jump host before
// a change can be reached through it now.
func (r *transactions) stillCarries(ctx context.Context, srv site.Server, open []site.Server) error {
	if len(open) == 0 {
		return nil
	}
	r.progress.set(srv.Name, "proving: new connections through it to %s", plural(len(open), "server"))
	// A daemon that is busy turns connections away at random (MaxStartups): once
	// is not enough to undo everything.
	const tries = 2
	var failed error
	for range tries {
		var left []site.Server
		failed = nil
		for i, err := range desk.Each(ctx, open, 0, time.Minute, r.carriesTo) {
			if err != nil {
				left = append(left, open[i])
				failed = errors.Join(failed, fmt.Errorf("%s cannot be reached through %s any more: %w", open[i].Name, srv.Name, err))
			}
		}
		if open = left; len(open) == 0 {
			break
		}
	}
	return failed
}
