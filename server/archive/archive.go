// Package archive keeps audits: a [Shelf] is a directory with those of one
// server, one compressed file each, named after its time. The desk has a shelf
// for every server of every site, and a server one for what it found by itself.
//
// A file holds the verdicts first and then everything, each as one JSON value, so
// that a history of hundreds of audits is read without their evidence.
//
// A shelf is bounded: whenever an audit is put on it, those go that its [Rule]
// does not keep any more.
//
// If an audit cannot be written, Put fails and those before it are as they were.
// If one cannot be read, it is left out and named, and the others are given.
package archive

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/internal/durable"
	"github.com/holdfast-security/holdfast/server"
)

const (
	// form is the name of an audit's file, so that names sort as times do.
	form = "20060102T150405Z"
	end  = ".json.gz"
	// maxAudit is the size of a file in bytes, unpacked. Those of 100 controls
	// have some 100 KB.
	maxAudit = 32 << 20
)

// A Shelf is where the audits of one server are kept.
type Shelf struct {
	// Dir is its directory; it is made when something is put there.
	Dir string
	// Rule says what is kept.
	Rule Rule
}

// A Rule says how long audits are kept. The zero value keeps all.
type Rule struct {
	// Days is how old an audit may become; 0 means any age.
	Days int
	// Every is how many days all audits of a day are kept; of days before that
	// only the last one is. 0 means that all are.
	Every int
	// Most is how many audits are kept, the latest ones; 0 means any number.
	Most int
}

// At returns the shelf for a server of a site below root.
func At(root, site, name string, rule Rule) (Shelf, error) {
	for _, part := range []string{site, name} {
		if part == "" || part[0] == '.' || strings.ContainsAny(part, "/\\:\x00") {
			return Shelf{}, fmt.Errorf("%q is no name for a directory", part)
		}
	}
	return Shelf{Dir: filepath.Join(root, site, name), Rule: rule}, nil
}

// Put keeps an audit, and throws away what the Rule does not keep.
func (s Shelf) Put(r server.AuditRecord) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := errors.Join(json.NewEncoder(z).Encode(verdicts(r)), json.NewEncoder(z).Encode(r), z.Close()); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	if err := durable.WriteFile(s.path(r.At), packed.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keeping the audit: %w", err)
	}
	return s.tidy(r.At)
}

// verdicts is an audit without its findings.
func verdicts(r server.AuditRecord) server.AuditRecord {
	r.Results = slices.Clone(r.Results)
	for i := range r.Results {
		r.Results[i].Findings = nil
	}
	return r
}

func (s Shelf) path(at time.Time) string {
	return filepath.Join(s.Dir, at.UTC().Format(form)+end)
}

// tidy removes what is not kept any more once there is an audit of now.
func (s Shelf) tidy(now time.Time) error {
	all, err := s.Times()
	if err != nil {
		return err
	}
	var failed error
	for _, at := range s.Rule.surplus(now, all) {
		if err := os.Remove(s.path(at)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// surplus returns those of all, earliest first, that are not kept at now.
func (r Rule) surplus(now time.Time, all []time.Time) []time.Time {
	var gone []time.Time
	kept := 0
	for i, at := range slices.Backward(all) {
		last := i == len(all)-1 || !sameDay(at, all[i+1])
		switch {
		case r.Most > 0 && kept == r.Most,
			r.Days > 0 && at.Before(now.AddDate(0, 0, -r.Days)),
			r.Every > 0 && !last && at.Before(now.AddDate(0, 0, -r.Every)):
			gone = append(gone, at)
		default:
			kept++
		}
	}
	return gone
}

func sameDay(a, b time.Time) bool {
	return a.UTC().Format(time.DateOnly) == b.UTC().Format(time.DateOnly)
}

// Times returns when the audits were made that are kept, earliest first. A shelf
// that nothing was put on has none.
func (s Shelf) Times() ([]time.Time, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for kept audits: %w", err)
	}
	var all []time.Time
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), end)
		if !ok {
			continue
		}
		if at, err := time.Parse(form, name); err == nil {
			all = append(all, at)
		}
	}
	return all, nil // ReadDir sorts by name
}

// Has reports whether the audit of a time is kept.
func (s Shelf) Has(at time.Time) bool {
	_, err := os.Stat(s.path(at))
	return err == nil
}

// Get returns the audit of a time, as Times gave it.
func (s Shelf) Get(at time.Time) (server.AuditRecord, error) { return s.read(at, 2) }

// read returns the nth value of the file of a time.
func (s Shelf) read(at time.Time, nth int) (server.AuditRecord, error) {
	f, err := os.Open(s.path(at))
	if err != nil {
		return server.AuditRecord{}, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return server.AuditRecord{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	d := json.NewDecoder(io.LimitReader(z, maxAudit))
	var r server.AuditRecord
	for range nth {
		r = server.AuditRecord{}
		if err := d.Decode(&r); err != nil {
			return server.AuditRecord{}, fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	if !r.At.Equal(at) {
		return server.AuditRecord{}, fmt.Errorf("%s: it is of another time, %s", f.Name(), r.At.Format(time.RFC3339))
	}
	return r, nil
}

// History returns the audits that were made after a time, earliest first and
// without their findings. The error joins those of audits that cannot be read;
// the others are returned all the same.
func (s Shelf) History(then time.Time) ([]server.AuditRecord, error) {
	times, err := s.Times()
	if err != nil {
		return nil, err
	}
	times = slices.DeleteFunc(times, func(at time.Time) bool { return !at.After(then) })
	all := make([]server.AuditRecord, len(times))
	errs := make([]error, len(times))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, at := range times {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			all[i], errs[i] = s.read(at, 1)
		})
	}
	wg.Wait()
	good := all[:0]
	for i := range all {
		if errs[i] == nil {
			good = append(good, all[i])
		}
	}
	return good, errors.Join(errs...)
}
