package txn

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// A Site is what a server remembers of the site that it belongs to.
type Site struct {
	// Name is the site's name, empty as long as nothing was applied.
	Name string `json:"name"`
	// Digest is the hash of the site file of the last confirmed transaction, By
	// who applied it and At when.
	Digest string    `json:"digest"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	// Earlier are the digests before it, newest last, at most 100.
	Earlier []string `json:"earlier,omitempty"`
}

// Older reports whether digest is that of a site file that was replaced by
// another since.
func (s Site) Older(digest string) bool {
	return digest != s.Digest && slices.Contains(s.Earlier, digest)
}

type siteFile struct {
	Format int `json:"format"`
	Site
}

// A SiteError says that a server belongs to another site.
type SiteError struct{ Recorded, Given string }

// Error names both sites.
func (e *SiteError) Error() string {
	return fmt.Sprintf("the server belongs to the site %q, not to %q", e.Recorded, e.Given)
}

// Site returns which site the server belongs to.
func (j *Journal) Site() (Site, error) {
	var s siteFile
	err := j.disk.get(filepath.Join(j.dir, "site.json"), &s)
	if errors.Is(err, fs.ErrNotExist) {
		return Site{}, nil
	}
	return s.Site, err
}

// CheckSite returns a [*SiteError] if the server belongs to another site than
// name.
func (j *Journal) CheckSite(name string) error {
	s, err := j.Site()
	if err != nil {
		return err
	}
	if s.Name != "" && s.Name != name {
		return &SiteError{Recorded: s.Name, Given: name}
	}
	return nil
}

// remember records the site of a confirmed transaction.
func (j *Journal) remember(p planFile) error {
	return j.locked(func() error {
		s, err := j.Site()
		if err != nil {
			return err
		}
		if s.Digest != "" && s.Digest != p.SiteDigest {
			s.Earlier = slices.DeleteFunc(s.Earlier, func(d string) bool { return d == s.Digest || d == p.SiteDigest })
			s.Earlier = append(s.Earlier, s.Digest)
			s.Earlier = s.Earlier[max(0, len(s.Earlier)-100):]
		}
		s.Name, s.Digest, s.By, s.At = p.Site, p.SiteDigest, p.By, time.Now().UTC()
		return j.disk.put(filepath.Join(j.dir, "site.json"), siteFile{Format: format, Site: s})
	})
}
