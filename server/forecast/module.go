package forecast

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server/pam"
)

// maxIncludes bounds how deep stacks of PAM may include each other.
const maxIncludes = 8

// modulesOf are the modules of PAM that come with packages.
var modulesOf = map[string]string{
	"libpam-google-authenticator": "pam_google_authenticator.so",
	"libpam-pwquality":            "pam_pwquality.so",
}

// findModules sees whether every module of PAM that a login over SSH cannot do
// without is there: with one missing, nobody gets in.
func (l *looker) findModules(ctx context.Context) error {
	missing, err := l.missingModule(ctx, "sshd", 0)
	if missing != "" {
		l.pam = fmt.Sprintf("PAM's module %s, which logins need, does not exist", missing)
	}
	return err
}

// missingModule returns the first module of a service that does not exist.
func (l *looker) missingModule(ctx context.Context, service string, depth int) (string, error) {
	file, err := l.r.Read(ctx, path.Join("/etc/pam.d", service))
	if errors.Is(err, fs.ErrNotExist) || depth > maxIncludes {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(file.Content) {
		words := strings.Fields(line)
		if len(words) == 2 && words[0] == "@include" || len(words) == 3 && (words[1] == "include" || words[1] == "substack") {
			if missing, err := l.missingModule(ctx, words[len(words)-1], depth+1); missing != "" || err != nil {
				return missing, err
			}
		}
	}
	f := pam.Parse(file.Content)
	for _, kind := range []string{"auth", "account", "session"} {
		for _, p := range f.Stack(kind) {
			if p.Optional || p.Control == "optional" {
				continue
			}
			there, err := l.moduleExists(ctx, p.Module)
			if err != nil || !there {
				return p.Module, err
			}
		}
	}
	return "", nil
}

func (l *looker) moduleExists(ctx context.Context, module string) (bool, error) {
	if slices.Contains(l.coming, module) {
		return true, nil
	}
	patterns := []string{"/lib/security/" + module, "/lib/*/security/" + module, "/usr/lib/security/" + module, "/usr/lib/*/security/" + module}
	if path.IsAbs(module) {
		patterns = []string{module}
	}
	for _, pattern := range patterns {
		found, err := l.r.Glob(ctx, pattern)
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	return false, nil
}
