package hosttest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Deb is a package of the imitated archive.
type Deb struct {
	Depends []string
	Files   map[string]string // content by path; those in /etc are configuration
	// Replaces are packages that go when this one comes.
	Replaces []string
	// After runs once it is installed.
	After Program
}

// archive is what apt-get can install.
func archive() map[string]Deb {
	return map[string]Deb{
		"libpam-pwquality": {
			Depends: []string{"libpwquality1"},
			Files:   map[string]string{"/usr/share/pam-configs/pwquality": pwqualityProfile},
			After: func(ctx context.Context, h *Host, _ string, _ []string) (string, error) {
				return pamAuthUpdate(ctx, h, "", []string{"pam-auth-update", "--package", "--enable", "pwquality"})
			},
		},
		"libpwquality1":       {Depends: []string{"libpwquality-common", "libcrack2"}},
		"libpwquality-common": {Files: map[string]string{"/etc/security/pwquality.conf": "# minlen = 8\n"}},
		"libcrack2":           {Files: map[string]string{"/usr/lib/libcrack.so.2": "library"}},
		"hello":               {Files: map[string]string{"/usr/bin/hello": "program", "/etc/hello.conf": "hello\n"}},
		"rival":               {Replaces: []string{"openssh-server"}},
		"broken":              {Depends: []string{"not-in-the-archive"}},
	}
}

const pwqualityProfile = `Name: Pwquality password strength checking
Default: yes
Priority: 1024
Conflicts: cracklib
Password-Type: Primary
Password:
	requisite			pam_pwquality.so retry=3
`

// SetPackage sets dpkg's word for a package, such as "installed" or
// "half-configured"; empty makes it unknown.
func (h *Host) SetPackage(name, status string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if status == "" {
		delete(h.packages, name)
	} else {
		h.packages[name] = status
	}
}

// ForgetLists takes the package lists away, as on a new server, until somebody
// runs apt-get update.
func (h *Host) ForgetLists() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists = false
}

func (h *Host) status(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.packages[name]
}

// dpkgQuery imitates dpkg-query --show of all packages with the fields that the
// caller in this house asks for.
func dpkgQuery(_ context.Context, h *Host, _ string, argv []string) (string, error) {
	if len(argv) != 4 || argv[1] != "--show" || argv[2] != "--showformat" ||
		argv[3] != `${binary:Package} ${Package} ${Architecture} ${db:Status-Status} ${db:Status-Eflag}\n` {
		h.t.Errorf("the imitated dpkg-query does not know %q", argv)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := ""
	for _, name := range slices.Sorted(maps.Keys(h.packages)) {
		full := name
		if strings.HasPrefix(name, "lib") {
			full += ":amd64"
		}
		out += fmt.Sprintf("%s %s amd64 %s ok\n", full, name, h.packages[name])
	}
	return out, nil
}

// aptGet imitates apt-get of apt 2.6: update, install, remove and purge, and -s.
func aptGet(ctx context.Context, h *Host, _ string, argv []string) (string, error) {
	var words []string
	simulate := false
	for i := 1; i < len(argv); i++ {
		switch {
		case argv[i] == "-o":
			i++
		case argv[i] == "-s":
			simulate = true
		case !strings.HasPrefix(argv[i], "-"):
			words = append(words, argv[i])
		}
	}
	verb, names := words[0], words[1:]
	if simulate {
		return h.simulate(verb, names)
	}
	if _, err := h.simulate(verb, names); err != nil {
		return "", err
	}
	switch verb {
	case "update":
		h.mu.Lock()
		h.lists = true
		h.mu.Unlock()
	case "install":
		come, gone, _ := h.closure(names)
		for _, name := range gone {
			h.SetPackage(name, "config-files")
		}
		for _, name := range come {
			deb := archive()[name]
			for file, content := range deb.Files {
				if !h.Exists(file) {
					h.Put(file, content)
				}
			}
			h.SetPackage(name, "installed")
			if deb.After != nil {
				if _, err := deb.After(ctx, h, "", nil); err != nil {
					return "", err
				}
			}
		}
	case "remove", "purge":
		for _, name := range h.dependents(names) {
			for file := range archive()[name].Files {
				if verb == "purge" || !strings.HasPrefix(file, "/etc/") {
					h.Delete(file)
				}
			}
			if verb == "purge" {
				h.SetPackage(name, "")
			} else {
				h.SetPackage(name, "config-files")
			}
		}
	}
	return "", nil
}

// closure is what comes and goes with an installation, dependencies first.
func (h *Host) closure(names []string) (come, gone []string, err error) {
	for _, name := range names {
		deb, known := archive()[name]
		h.mu.Lock()
		known = known && h.lists
		status := h.packages[name]
		h.mu.Unlock()
		if !known {
			return nil, nil, Exit{100, "E: Unable to locate package " + name + "\n"}
		}
		if status == "installed" {
			continue
		}
		c, g, err := h.closure(deb.Depends)
		if err != nil {
			return nil, nil, err
		}
		for _, n := range append(c, name) {
			if !slices.Contains(come, n) {
				come = append(come, n)
			}
		}
		for _, n := range append(g, deb.Replaces...) {
			if h.status(n) == "installed" {
				gone = append(gone, n)
			}
		}
	}
	return come, gone, nil
}

// dependents are the named packages and all installed ones that need them.
func (h *Host) dependents(names []string) []string {
	all := slices.Clone(names)
	for changed := true; changed; {
		changed = false
		for name, deb := range archive() {
			needs := slices.ContainsFunc(deb.Depends, func(d string) bool { return slices.Contains(all, d) })
			if needs && h.status(name) == "installed" && !slices.Contains(all, name) {
				all, changed = append(all, name), true
			}
		}
	}
	slices.Sort(all)
	return all
}

func (h *Host) simulate(verb string, names []string) (string, error) {
	out := "NOTE: This is only a simulation!\n"
	switch verb {
	case "update":
	case "install":
		come, gone, err := h.closure(names)
		if err != nil {
			return "", err
		}
		for _, name := range gone {
			out += "Remv " + name + " [1.0]\n"
		}
		for _, name := range come {
			out += "Inst " + name + " (1.0 Debian:12/oldstable [amd64])\n"
		}
	case "remove", "purge":
		word := map[string]string{"remove": "Remv", "purge": "Purg"}[verb]
		for _, name := range h.dependents(names) {
			out += word + " " + name + " [1.0]\n"
		}
	default:
		h.t.Errorf("the imitated apt-get does not know %q", verb)
	}
	return out, nil
}
