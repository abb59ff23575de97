package resource

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// PAM is a profile of pam-auth-update that is enabled. Its states are "enabled"
// or "disabled" and the text of every file that pam-auth-update writes: a
// profile changes them all, and undo puts back their bytes.
type PAM struct {
	// Profile is the name of its file in /usr/share/pam-configs.
	Profile string `json:"profile"`
}

// Name returns "PAM profile NAME".
func (p PAM) Name() string { return "PAM profile " + p.Profile }

// Want returns "enabled".
func (p PAM) Want() server.State { return enabled }

// Accepts reports whether s is that of an enabled profile, whatever the files
// say beside it.
func (p PAM) Accepts(s server.State) bool {
	first, _, _ := strings.Cut(string(s), "\n")
	return first == enabled
}

const (
	pamDir      = "/etc/pam.d"
	pamMemory   = "/var/lib/pam"
	pamProfiles = "/usr/share/pam-configs"
)

// pamTypes are the kinds of work that PAM does, as profiles and files name
// them.
var pamTypes = []struct{ field, name string }{
	{"Auth", "auth"}, {"Account", "account"}, {"Password", "password"},
	{"Session", "session"}, {"Session-noninteractive", "session-noninteractive"},
}

// pamFiles are the files that pam-auth-update writes, its memory before what
// logins read.
func pamFiles() []string {
	files := []string{pamMemory + "/seen"}
	for _, t := range pamTypes {
		files = append(files, pamMemory+"/"+t.name)
	}
	for _, t := range pamTypes {
		files = append(files, pamDir+"/common-"+t.name)
	}
	return files
}

// Get returns the state, empty if there is no such profile.
func (p PAM) Get(ctx context.Context, r server.Reader) (server.State, error) {
	now, err := p.read(ctx, r)
	if err != nil {
		return "", err
	}
	record, found, err := begun(ctx, r, p)
	if err != nil {
		return "", err
	}
	if found {
		now = record.settle(now, splitPAM)
	}
	return now, nil
}

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// read is Get without regard to a half-done change.
func (p PAM) read(ctx context.Context, r server.Reader) (server.State, error) {
	if !profileName.MatchString(p.Profile) {
		return "", fmt.Errorf("%q is no name for a profile of PAM", p.Profile)
	}
	profile, found, err := readEntry(ctx, r, pamProfiles+"/"+p.Profile)
	if err != nil || !found {
		return "", err
	}
	modules := parseProfile(profile.Content)
	var b strings.Builder
	on := len(modules) > 0
	for _, file := range pamFiles() {
		s, err := getFile(ctx, r, file)
		if err != nil {
			return "", err
		}
		b.WriteString(section(file, s))
		if kind, ok := strings.CutPrefix(file, pamDir+"/common-"); ok && !usesAll(string(s), kind, modules[kind]) {
			on = false
		}
	}
	if on {
		return server.State(enabled + "\n" + b.String()), nil
	}
	return server.State(disabled + "\n" + b.String()), nil
}

// parseProfile returns the modules that a profile puts into each common-*
// file, such as "password" -> "pam_pwquality.so".
func parseProfile(text string) map[string][]string {
	fields, name := map[string][]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if head, value, ok := strings.Cut(line, ":"); ok && !strings.ContainsAny(head, " \t") {
			name = strings.TrimSuffix(head, "-Final")
			line = value
		}
		if line = strings.TrimSpace(line); line != "" {
			fields[name] = append(fields[name], line)
		}
	}
	if _, set := fields["Session-Interactive-Only"]; !set {
		fields["Session-noninteractive"] = fields["Session"]
	}
	modules := map[string][]string{}
	for _, t := range pamTypes {
		for _, line := range fields[t.field] {
			if m := pamModule(line); m != "" {
				modules[t.name] = append(modules[t.name], m)
			}
		}
	}
	return modules
}

// pamModule returns the module that a line of a stack names, less its type:
// "[success=1 default=ignore] pam_unix.so obscure" -> "pam_unix.so".
func pamModule(line string) string {
	if strings.HasPrefix(line, "#") {
		return ""
	}
	if strings.HasPrefix(line, "[") {
		_, rest, _ := strings.Cut(line, "]")
		line = "control " + rest
	}
	if words := strings.Fields(line); len(words) > 1 {
		return words[1]
	}
	return ""
}

// usesAll reports whether a common-* file has a line for each module.
func usesAll(text, kind string, modules []string) bool {
	kind = strings.TrimSuffix(kind, "-noninteractive")
	var used []string
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, kind); ok {
			used = append(used, pamModule(strings.TrimSpace(rest)))
		}
	}
	for _, m := range modules {
		if !slices.Contains(used, m) {
			return false
		}
	}
	return true
}

// section prints a file's state under its path. Each line is indented, so that
// none looks like a path; a state without a last line break is told from one
// with.
func section(file string, s server.State) string {
	if s == "" {
		return file + " (none)\n"
	}
	return file + "\n  " + strings.ReplaceAll(string(s), "\n", "\n  ") + "\n"
}

// splitPAM cuts a state into its sections, each with its path first.
func splitPAM(s server.State) []string {
	_, text, _ := strings.Cut(string(s), "\n")
	var parts []string
	for line := range strings.Lines(text) {
		if len(parts) == 0 || !strings.HasPrefix(line, "  ") {
			parts = append(parts, "")
		}
		parts[len(parts)-1] += line
	}
	return parts
}

// parseSection is the inverse of section.
func parseSection(text string) (file string, s server.State, err error) {
	head, body, ok := strings.Cut(text, "\n")
	if file, none := strings.CutSuffix(head, " (none)"); none {
		return file, "", nil
	}
	if !ok || !strings.HasPrefix(body, "  ") {
		return "", "", fmt.Errorf("a state of PAM has the section %q", head)
	}
	body = strings.TrimSuffix(strings.TrimPrefix(body, "  "), "\n")
	return head, server.State(strings.ReplaceAll(body, "\n  ", "\n")), nil
}

// Set enables the profile, or puts back the files as s has them.
func (p PAM) Set(ctx context.Context, h server.Host, s server.State) error {
	record, found, err := begun(ctx, h, p)
	if err != nil {
		return err
	}
	if found && record.Before != s {
		// Somebody gave up putting the files back and wants the profile again.
		if err := p.putBack(ctx, h, record.Before); err != nil {
			return err
		}
	}
	now, err := p.read(ctx, h)
	if err != nil {
		return err
	}
	if p.Accepts(s) {
		return p.enable(ctx, h, now)
	}
	if now != s {
		if err := (half{Before: s, After: now}).begin(ctx, h, p); err != nil {
			return err
		}
	}
	return p.putBack(ctx, h, s)
}

func (p PAM) enable(ctx context.Context, h server.Host, now server.State) error {
	switch {
	case now == "":
		return fmt.Errorf("there is no profile %s in %s", p.Profile, pamProfiles)
	case p.Accepts(now):
		return nil
	}
	// Without a terminal pam-auth-update never overwrites what it did not
	// write; --force would, and is never used.
	err := run(ctx, h, "", "env", "DEBIAN_FRONTEND=noninteractive", "pam-auth-update", "--package", "--enable", p.Profile)
	if err != nil {
		return err
	}
	after, err := p.read(ctx, h)
	if err != nil {
		return err
	}
	if after == now {
		return &EditedError{Profile: p.Profile}
	}
	return nil
}

// putBack writes the files of s and then forgets that it had to.
func (p PAM) putBack(ctx context.Context, h server.Host, s server.State) error {
	if now, err := p.read(ctx, h); err != nil {
		return err
	} else if now == s {
		return forget(ctx, h, halfName(p))
	}
	known := pamFiles()
	for _, part := range splitPAM(s) {
		file, content, err := parseSection(part)
		if err != nil {
			return err
		}
		if !slices.Contains(known, file) {
			return fmt.Errorf("a state of PAM has the file %s", file)
		}
		if err := setFile(ctx, h, file, content); err != nil {
			return err
		}
	}
	now, err := p.read(ctx, h)
	if err != nil {
		return err
	}
	if now != s {
		return fmt.Errorf("the files of PAM were put back, but the host does not show it")
	}
	return forget(ctx, h, halfName(p))
}

// An EditedError says that pam-auth-update left the files as they are, which it
// does if somebody has edited the part of /etc/pam.d/common-* that it manages.
type EditedError struct{ Profile string }

// Error names the profile and the files.
func (e *EditedError) Error() string {
	return "pam-auth-update did not enable the profile " + e.Profile +
		": /etc/pam.d/common-* was edited by hand where pam-auth-update would write"
}
