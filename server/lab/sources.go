package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Sources are the addresses from which this machine takes packages of Debian.
type Sources struct {
	Main     string // the archive with the suites and their updates
	Security string // the archive with the security updates
}

// machineSources asks apt, which knows every way of writing a source down.
func machineSources(ctx context.Context) (Sources, error) {
	out, err := run(ctx, nil, "apt-get", "update", "--print-uris")
	if err != nil {
		return Sources{}, fmt.Errorf("package sources: %w", err)
	}
	s, err := ParseSources(string(out))
	if err != nil {
		return Sources{}, err
	}
	if s.Main, err = resolveMirror(s.Main); err != nil {
		return Sources{}, err
	}
	s.Security, err = resolveMirror(s.Security)
	return s, err
}

// ParseSources finds the archives in what apt-get update --print-uris prints.
// An archive is Debian's if it has one of [Suites], or a release before or
// after, under Debian's own name.
func ParseSources(uris string) (Sources, error) {
	var s Sources
	for line := range strings.Lines(uris) {
		_, after, ok := strings.Cut(line, "'")
		uri, _, quoted := strings.Cut(after, "'")
		base, release, found := strings.Cut(uri, "/dists/")
		if !ok || !quoted || !found || base == "" || strings.ContainsAny(base, " \t\r\n") {
			continue
		}
		release, ok = strings.CutSuffix(release, "/InRelease")
		if !ok {
			continue
		}
		codename, security := strings.CutSuffix(release, "-security")
		switch {
		case !slices.Contains(releases, codename):
		case security && s.Security == "":
			s.Security = base
		case !security && s.Main == "" && strings.Contains(base, "debian"):
			s.Main = base
		}
	}
	if s.Main == "" || s.Security == "" {
		return s, errors.New("package sources: apt of this machine has no archive of Debian with its security updates")
	}
	return s, nil
}

// releases are the names under which a machine may have Debian in its sources.
var releases = []string{"bullseye", "bookworm", "trixie", "forky", "oldstable", "stable", "testing"}

// resolveMirror returns an address that a proxy can fetch from: the first of a
// mirror list, and TLS as apt-cacher-ng wants it written.
func resolveMirror(uri string) (string, error) {
	if file, ok := strings.CutPrefix(uri, "mirror+file:"); ok {
		list, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("package sources: %w", err)
		}
		fields := strings.Fields(string(list))
		if len(fields) == 0 {
			return "", fmt.Errorf("package sources: %s is empty", file)
		}
		uri = strings.TrimSuffix(fields[0], "/")
	}
	if rest, ok := strings.CutPrefix(uri, "https://"); ok {
		return "http://HTTPS///" + rest, nil
	}
	if !strings.HasPrefix(uri, "http://") {
		return "", fmt.Errorf("package sources: %q is not reached over HTTP", uri)
	}
	return uri, nil
}

// file is the sources file of a server, in the format of sources.list(5).
func (s Sources) file(suite string) string {
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	return fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s %s-updates\nComponents: main\nSigned-By: %s\n\n"+
		"Types: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nSigned-By: %s\n",
		s.Main, suite, suite, keyring, s.Security, suite, keyring)
}
