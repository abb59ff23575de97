package main

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/archive"
	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/report"
	"github.com/holdfast-security/holdfast/server/site"
)

// keptAt is how long audits are kept at the desk: for a year and a month, and of
// days more than a week ago the last one.
var keptAt = archive.Rule{Days: 400, Every: 7, Most: 2000}

// historyDays is how far back a report looks.
const historyDays = 90

// maxMessages is in how many messages a server may send its audits at one
// contact; the rest comes with the next.
const maxMessages = 20

// maxAhead is how far ahead of the desk's the clock of a server may be for its
// audits to be taken.
const maxAhead = 24 * time.Hour

// A keeper keeps the audits of a site at this desk, and says what was kept. What
// it cannot do it says as a warning: an audit is worth having all the same.
type keeper struct {
	*app
	site string
	// root is empty if there is no place to keep anything.
	root string
}

// newKeeper returns the one of a site.
func (a *app) newKeeper(s *site.Site) *keeper {
	dir, err := desk.StateDir()
	if err != nil {
		a.say("warning: audits are not kept: %v", err)
		return &keeper{app: a, site: s.Name}
	}
	return &keeper{app: a, site: s.Name, root: filepath.Join(dir, "audits")}
}

// Where the two kinds of audits of a server are kept.
const (
	byDesk = "desk"
	byDay  = "daily"
)

// shelf is where audits of a server are kept.
func (k *keeper) shelf(name, kind string) (archive.Shelf, bool) {
	if k.root == "" {
		return archive.Shelf{}, false
	}
	s, err := archive.At(k.root, k.site, name, keptAt)
	if err != nil {
		k.say("warning: audits of %s are not kept: %v", name, err)
		return archive.Shelf{}, false
	}
	s.Dir = filepath.Join(s.Dir, kind)
	return s, true
}

// put keeps what was found just now.
func (k *keeper) put(all []serverAudit) {
	for _, one := range all {
		if one.Error != "" {
			continue
		}
		s, ok := k.shelf(one.Name, byDesk)
		if !ok {
			continue
		}
		err := s.Put(server.AuditRecord{Site: k.site, Server: one.Name, At: one.At, Version: version, Results: one.Results})
		if err != nil {
			k.say("warning: the audit of %s is not kept: %v", one.Name, err)
		}
	}
}

// collect fetches what a server has found by itself since the last time.
func (k *keeper) collect(ctx context.Context, s *session, name string) error {
	shelf, ok := k.shelf(name, byDay)
	if !ok {
		return nil
	}
	times, err := shelf.Times()
	if err != nil {
		return err
	}
	var last time.Time
	if len(times) > 0 {
		last = times[len(times)-1]
	}
	// No server has more to say than that, whatever it claims.
	for range maxMessages {
		var out protocol.AuditsResult
		if err := s.Call(ctx, protocol.OpAudits, protocol.AuditsRequest{After: last}, &out, nil); err != nil {
			return err
		}
		moved := false
		for _, r := range out.Audits {
			r.At = r.At.UTC().Truncate(time.Second)
			if !r.At.After(last) || r.At.After(time.Now().Add(maxAhead)) {
				continue
			}
			// What a server says of others is not its business.
			r.Site, r.Server, r.Daily = k.site, name, true
			if err := shelf.Put(r); err != nil {
				return err
			}
			last, moved = r.At, true
		}
		if !out.More || !moved {
			break
		}
	}
	return nil
}

// times are when audits of a server were made that are kept, earliest first,
// with their shelves.
func (k *keeper) times(name string) []keptTime {
	var all []keptTime
	for _, kind := range []string{byDesk, byDay} {
		s, ok := k.shelf(name, kind)
		if !ok {
			continue
		}
		times, err := s.Times()
		if err != nil {
			k.say("warning: %v", err)
		}
		for _, at := range times {
			all = append(all, keptTime{at, s})
		}
	}
	slices.SortStableFunc(all, func(a, b keptTime) int { return a.Compare(b.Time) })
	return all
}

type keptTime struct {
	time.Time
	shelf archive.Shelf
}

// latest is what the latest kept audit of a server has found.
func (k *keeper) latest(name string) serverAudit {
	for _, t := range slices.Backward(k.times(name)) {
		r, err := t.shelf.Get(t.Time)
		if err != nil {
			k.say("warning: %v", err)
			continue
		}
		return serverAudit{Name: name, Results: r.Results, At: r.At, Daily: r.Daily}
	}
	return serverAudit{Name: name, Error: "no audit of it is kept at this desk"}
}

// compare says what has changed on each server since the latest audit that was
// made then or before, or the earliest that is kept. It does nothing if then is
// zero.
func (k *keeper) compare(all []serverAudit, then time.Time) {
	if then.IsZero() {
		return
	}
	for i, one := range all {
		if one.Error != "" {
			continue
		}
		all[i].Changes = &report.Changes{Controls: []report.Change{}}
		times := slices.DeleteFunc(k.times(one.Name), func(t keptTime) bool { return !t.Before(one.At) })
		if len(times) == 0 {
			continue
		}
		from := times[0]
		for _, t := range times {
			if !t.After(then) {
				from = t
			}
		}
		r, err := from.shelf.Get(from.Time)
		if err != nil {
			k.say("warning: %v", err)
			continue
		}
		all[i].Changes = &report.Changes{Since: r.At, Controls: report.Compare(r.Results, one.Results)}
	}
}

// history is what is kept of the last days, of the servers in all.
func (k *keeper) history(all []serverAudit) []server.AuditRecord {
	var kept []server.AuditRecord
	for _, one := range all {
		for _, kind := range []string{byDesk, byDay} {
			s, ok := k.shelf(one.Name, kind)
			if !ok {
				continue
			}
			found, err := s.History(time.Now().AddDate(0, 0, -historyDays))
			if err != nil {
				k.say("warning: left out of the history: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
			}
			kept = append(kept, found...)
		}
	}
	slices.SortStableFunc(kept, func(a, b server.AuditRecord) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Server, b.Server))
	})
	return kept
}
