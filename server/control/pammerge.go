package control

import (
	"context"
	"errors"
	"io/fs"
	"regexp"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// pamKinds are the files /etc/pam.d/common-* that pam-auth-update writes, with
// the type that their lines begin with.
var pamKinds = []struct{ file, kind string }{
	{"auth", "auth"}, {"account", "account"}, {"password", "password"},
	{"session", "session"}, {"session-noninteractive", "session"},
}

// mergeable reports whether pam-auth-update would write on the machine that r
// shows. It remembers in /var/lib/pam what it wrote and leaves all files alone
// once it finds a line in one of its blocks that is not from there, or not all
// of the comments between which its blocks stand (diff_profiles in its source).
// mended are contents to look at in place of the machine's.
func mergeable(ctx context.Context, r server.Reader, mended map[string]string) (bool, error) {
	for _, k := range pamKinds {
		saved, err := r.Read(ctx, "/var/lib/pam/"+k.file)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		name := "/etc/pam.d/common-" + k.file
		current, given := mended[name]
		if !given {
			e, err := r.Read(ctx, name)
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			current = e.Content
		}
		if !ownBlocks(current, k.kind, saved.Content) {
			return false, nil
		}
	}
	return true, nil
}

// The comments between which the blocks of pam-auth-update stand.
const (
	pamPrimary    = `# here are the per-package modules (the "Primary" block)`
	pamFallback   = "# here's the fallback if no module succeeds"
	pamAdditional = `# and here are more per-package modules (the "Additional" block)`
	pamEnd        = "# end of pam-auth-update config"
)

var (
	// pamJump is the number in a control such as [success=2 default=ignore],
	// which depends on what else is in the stack.
	pamJump = regexp.MustCompile(`(\[[^0-9\]]*)(?:[0-9]+|end)`)
	// pamKey is the control and the module of a line without its type.
	pamKey = regexp.MustCompile(`^(\[[^\]]+\]|\w+)\s+\S+`)
)

// ownBlocks reports whether a common-* file has both blocks and nothing in them
// that is not in saved, in the same order.
func ownBlocks(current, kind, saved string) bool {
	var known []string
	for line := range strings.Lines(saved) {
		line = strings.TrimRight(line, "\r\n")
		if key := pamKey.FindString(pamJump.ReplaceAllString(line, "$1")); key != "" && !strings.HasPrefix(line, "Module:") {
			known = append(known, key)
		}
	}
	const before, primary, between, additional = 0, 1, 2, 3
	state := before
	for line := range strings.Lines(current) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case state == before && strings.HasPrefix(line, pamPrimary):
			state = primary
		case state == primary && strings.HasPrefix(line, pamFallback):
			state = between
		case state == between && strings.HasPrefix(line, pamAdditional):
			state = additional
		case state == additional && strings.HasPrefix(line, pamEnd):
			return true
		case state == primary || state == additional:
			rule := pamJump.ReplaceAllString(strings.TrimSpace(strings.TrimPrefix(line, kind)), "$1")
			found := false
			for len(known) > 0 && !found {
				found = strings.HasPrefix(rule, known[0])
				known = known[1:]
			}
			if !found {
				return false
			}
		}
	}
	return state == additional
}
