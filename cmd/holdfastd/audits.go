package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/archive"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/protocol"
	"github.com/holdfast-security/holdfast/server/txn"
)

// shelf is where a server keeps its daily audits: three months, and some more a
// day when it was started often.
var shelf = archive.Shelf{Dir: control.AuditsDir, Rule: archive.Rule{Days: 90, Every: 3, Most: 150}}

const (
	// settleLimit is how long a daily audit waits for a transaction to end; its
	// window is over long before.
	settleLimit = 25 * time.Minute
	settlePause = 10 * time.Second
	// maxSent is about how many bytes of audits are sent in one message.
	maxSent = protocol.MaxSize / 2
)

// daily audits this server as the last apply has told it, and keeps the result.
// What a transaction has changed may go away again, so it is waited for.
func (d *daemon) daily(ctx context.Context) error {
	if err := d.ensureKey(ctx); err != nil {
		return err
	}
	c, err := control.DailyConfig(ctx, d.machine)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, settleLimit)
	defer stop()
	for {
		if err := d.settled(ctx); err != nil {
			return err
		}
		results, err := server.Audit(ctx, d.machine, control.All(), c)
		if err != nil {
			return err
		}
		if d.journal.Settled() != nil {
			continue // one has begun meanwhile
		}
		return shelf.Put(server.AuditRecord{
			Site: c.Site, Server: c.Server, At: time.Now().UTC().Truncate(time.Second), Daily: true, Version: version, Results: results,
		})
	}
}

// settled waits until no transaction is open.
func (d *daemon) settled(ctx context.Context) error {
	for {
		err := d.journal.Settled()
		var locked *txn.LockedError
		if !errors.As(err, &locked) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(settlePause):
		}
	}
}

// audits sends the daily audits that a desk does not have.
func (d *daemon) audits(_ context.Context, in protocol.AuditsRequest, _ sender) (protocol.AuditsResult, error) {
	return newAudits(shelf, in.After)
}

// newAudits are the audits that were made after a time, as many as fit into one
// message, and at least one if there are any that can be read.
func newAudits(s archive.Shelf, after time.Time) (protocol.AuditsResult, error) {
	out := protocol.AuditsResult{Audits: []server.AuditRecord{}}
	times, err := s.Times()
	if err != nil {
		return out, err
	}
	sent := 0
	for _, at := range times {
		if !at.After(after) {
			continue
		}
		r, err := s.Get(at)
		if err != nil {
			continue // it is lost, and those after it are not
		}
		size, err := sizeOf(r)
		if err != nil {
			return out, err
		}
		if size > maxSent {
			r = withoutEvidence(r)
			if size, err = sizeOf(r); err != nil || size > maxSent {
				continue
			}
		}
		if sent+size > maxSent {
			out.More = true
			break
		}
		sent += size
		out.Audits = append(out.Audits, r)
	}
	return out, nil
}

func sizeOf(r server.AuditRecord) (int, error) {
	text, err := json.Marshal(r)
	return len(text), err
}

// withoutEvidence is an audit that fits into a message.
func withoutEvidence(r server.AuditRecord) server.AuditRecord {
	for i := range r.Results {
		for k := range r.Results[i].Findings {
			r.Results[i].Findings[k].Evidence = "too long to be sent; it is kept on the server"
		}
	}
	return r
}

// ensureLink makes [server.Program] lead to this program, unless it leads to one
// that came later. The daily audit goes through it: whoever takes old daemons
// away has to leave the one that it leads to.
func (d *daemon) ensureLink(ctx context.Context) error {
	dir := filepath.Dir(d.self)
	if filepath.Dir(dir) != server.ProgramDir {
		return nil // it was not put there by a desk
	}
	target := filepath.Join(filepath.Base(dir), filepath.Base(d.self))
	now, err := d.machine.Read(ctx, server.Program)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case now.Content == target:
		return nil
	default:
		mine, err := os.Stat(d.self)
		if err != nil {
			return err
		}
		other, err := os.Stat(server.Program)
		if err == nil && !mine.ModTime().After(other.ModTime()) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err = d.machine.Write(ctx, server.Program, server.Entry{Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: target})
	if err != nil {
		return fmt.Errorf("linking to this program: %w", err)
	}
	return nil
}
