package forecast

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// byKey tells whether the account can log in with a key: an admin with one that
// the site file names, root by break-glass with that key, others with any.
// asked says that the server puts a question after the key.
func (l *looker) byKey(ctx context.Context, a account, s sshd.Settings, from string) (w Way, asked bool, _ error) {
	if s.Get("pubkeyauthentication") != "yes" {
		return Way{Why: "sshd takes no keys"}, false, nil
	}
	ok, besides := methods(s, "publickey")
	if !ok {
		return Way{Why: "sshd asks for more than a key (AuthenticationMethods " + s.Get("authenticationmethods") + ")"}, false, nil
	}
	if root := s.Get("permitrootlogin"); a.UID == 0 && (root == "no" || root == "forced-commands-only") {
		return Way{Why: "sshd does not let root in (PermitRootLogin " + root + ")"}, false, nil
	}
	if besides != "" {
		if w, err := l.canAnswer(ctx, a); err != nil || !w.Works {
			return w, true, err
		}
	}
	keys, why, err := l.trustedKeys(ctx, a, s)
	if err != nil {
		return Way{}, false, err
	}
	known := l.siteKeys(a.Name)
	var reasons []string
	for _, k := range keys {
		if known != nil && !slices.Contains(known, k.Blob) {
			reasons = append(reasons, fmt.Sprintf("%s is not one of the site file", k))
			continue
		}
		if bad := unusable(k, s, from, l.command(a.Name)); bad != "" {
			reasons = append(reasons, fmt.Sprintf("%s %s", k, bad))
			continue
		}
		w := Way{Works: true, Why: k.String()}
		if besides != "" {
			w.Why += ", and " + besides
		}
		if a.MustChange() || a.TooOld(today()) {
			w.Why += "; it has to change its password at the login"
		}
		return w, besides != "", nil
	}
	reasons = append(reasons, why...)
	if cmd := s.Get("authorizedkeyscommand"); cmd != "" && cmd != "none" {
		reasons = append(reasons, "what keys "+cmd+" knows cannot be told")
	}
	if len(reasons) == 0 {
		reasons = []string{"it has no key"}
	}
	return Way{Why: strings.Join(reasons, "; ")}, besides != "", nil
}

// notEnrolled is why an account cannot answer what sshd asks after the key.
const notEnrolled = "sshd asks for a code, and the account is not enrolled"

// canAnswer tells whether an account has a second factor where PAM asks for ours.
func (l *looker) canAnswer(ctx context.Context, a account) (Way, error) {
	e, err := l.r.Read(ctx, "/etc/pam.d/common-auth")
	if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.Contains(e.Content, "secret="+factor.Dir+"/") {
		return Way{Works: true}, nil // whatever PAM asks, it is not ours
	}
	if err != nil {
		return Way{}, err
	}
	_, err = l.r.Read(ctx, factor.Path(a.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return Way{Why: notEnrolled}, nil
	}
	return Way{Works: err == nil}, err
}

// siteKeys returns the keys that the site file names for an account; nil means
// that it names none and any will do.
func (l *looker) siteKeys(name string) []string {
	var lines []string
	for _, a := range l.c.Admins {
		if a.Name == name {
			lines = append([]string{}, a.Keys...)
		}
	}
	for _, p := range l.c.Automation {
		if p.Name == name {
			lines = append(lines, p.Key)
		}
	}
	var blobs []string
	for _, line := range lines {
		if k, err := sshd.ParseKey(line); err == nil {
			blobs = append(blobs, k.Blob)
		}
	}
	return blobs
}

// unusable says why sshd would not take a key from a client at from, "" if it
// would and give a session for it: any, or one for the command of a program.
func unusable(k sshd.Key, s sshd.Settings, from, command string) string {
	if _, ok := k.Option("cert-authority"); ok {
		return "only signs certificates"
	}
	if cmd, ok := k.Option("command"); ok && cmd != command {
		return "only runs " + cmd
	}
	if list, ok := k.Option("from"); ok {
		if !matchList(strings.Split(list, ","), func(p string) bool { return addressMatches(p, from) }) {
			return "works only from " + list
		}
	}
	if k.IsRSA() {
		if least, err := strconv.Atoi(s.Get("requiredrsasize")); err == nil && k.Bits < least {
			return fmt.Sprintf("is shorter than %d bits", least)
		}
		accepted := s.List("pubkeyacceptedalgorithms")
		if !slices.ContainsFunc(accepted, func(t string) bool { return strings.HasPrefix(t, "rsa-sha2-") || t == "ssh-rsa" }) {
			return "is of a type that sshd does not take"
		}
	} else if !slices.Contains(s.List("pubkeyacceptedalgorithms"), k.Type) {
		return "is of a type that sshd does not take"
	}
	return ""
}

// trustedKeys returns the keys in the account's files that sshd reads, and why
// it does not read others.
func (l *looker) trustedKeys(ctx context.Context, a account, s sshd.Settings) (keys []sshd.Key, why []string, _ error) {
	for _, pattern := range strings.Fields(s.Get("authorizedkeysfile")) {
		if pattern == "none" {
			continue
		}
		file := strings.NewReplacer("%h", a.Home, "%u", a.Name, "%U", strconv.Itoa(a.UID), "%%", "%").Replace(pattern)
		if !path.IsAbs(file) {
			file = path.Join(a.Home, file)
		}
		real, e, err := sshd.ReadThrough(ctx, l.r, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if s.Get("strictmodes") != "no" {
			bad, err := l.loose(ctx, a, real)
			if err != nil {
				return nil, nil, err
			}
			if bad != "" {
				why = append(why, bad)
				continue
			}
		}
		keys = append(keys, sshd.ParseAuthorizedKeys(e.Content)...)
	}
	return keys, why, nil
}

// alone reports whether the owner of a file is the only member of its group.
// Debian and Ubuntu patch sshd to trust a file that such a group may write.
func (l *looker) alone(e server.Entry) bool {
	members, owner := 0, false
	for _, a := range l.accounts {
		if slices.Contains(a.groups, e.Group) {
			members++
			owner = owner || a.Name == e.Owner
		}
	}
	return members == 1 && owner
}

// loose says which part of a path others could have written, "" if none:
// sshd's StrictModes reads no keys then. It looks at the file and its
// directories up to the home directory, or to the root.
func (l *looker) loose(ctx context.Context, a account, file string) (string, error) {
	for p := file; ; p = path.Dir(p) {
		_, e, err := sshd.ReadThrough(ctx, l.r, p)
		if err != nil {
			return "", err
		}
		if e.Owner != "root" && e.Owner != "0" && e.Owner != a.Name && e.Owner != strconv.Itoa(a.UID) {
			return fmt.Sprintf("sshd does not read %s because %s belongs to %s (StrictModes)", file, p, e.Owner), nil
		}
		if e.Mode.Perm()&0o002 != 0 || e.Mode.Perm()&0o020 != 0 && !l.alone(e) {
			return fmt.Sprintf("sshd does not read %s because others may write %s (StrictModes)", file, p), nil
		}
		if p == path.Clean(a.Home) || p == "/" {
			return "", nil
		}
	}
}
