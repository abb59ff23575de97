package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/pam"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// Factor is section 3.10, "Two-Factor Authentication", less the clock.
func Factor() []server.Control {
	return []server.Control{
		{
			ID:       "second-factor",
			Guide:    "3.10",
			Title:    "Admins show a code or a FIDO2 key besides their key",
			Why:      "A stolen laptop has the key on it, and not the phone that makes the codes.",
			Severity: server.High,
			LocksOut: true,
			Wants:    wantFactor,
			Proofs: func(server.Config) []server.Proof {
				return []server.Proof{everybodyEnrolled, factorDemanded, codeAsked}
			},
		},
		{
			ID:       "automation-accounts",
			Guide:    "3.10",
			Title:    "Programs log in by key for one command, and for a time",
			Why:      "A program cannot type a code, so its key must be good for nothing else.",
			Severity: server.Medium,
			LocksOut: true,
			Wants:    wantAutomation,
			Proofs: func(server.Config) []server.Proof {
				return []server.Proof{automationConfined, automationInTime}
			},
		},
	}
}

const (
	factorPackage = "libpam-google-authenticator"
	factorModule  = "pam_google_authenticator.so"
	factorProfile = "holdfast-second-factor"
	pamProfiles   = "/usr/share/pam-configs"
	commonAuth    = "/etc/pam.d/common-auth"
	sshdStack     = "/etc/pam.d/sshd"
	// factorDropIn sorts before every other drop-in of ours: they speak to all,
	// and sshd takes the first value that it reads.
	factorDropIn = ownPrefix + "0-factor.conf"
)

// factorArgs are the module's arguments: a secret that only root can read and
// write, and no learning of how wrong a phone's clock is, which would widen the
// window. There is no nullok: who has no secret is refused.
var factorArgs = []string{"secret=" + factor.Path("${USER}"), "user=root", "noskewadj"}

// profileText makes every service but sshd pass over the module. The code is
// enough where it is asked for: sshd asks only after it has taken the key.
func profileText() string {
	return "Name: Holdfast: a code as the second factor of logins over SSH\n" +
		"Default: no\nPriority: 1024\nAuth-Type: Primary\nAuth:\n" +
		"\t[success=ignore default=1]\tpam_succeed_if.so quiet service = sshd\n" +
		"\t[success=end default=die]\t" + factorModule + " " + strings.Join(factorArgs, " ") + "\n"
}

// A factorDemand says who shows what besides a key on one server.
type factorDemand struct {
	// codes are admins who show a code, enrolled those of them who can, and
	// pending those for whom the key is enough until they are enrolled.
	codes, enrolled, pending []string
	// keys are admins whose FIDO2 key is both.
	keys []string
}

// demandedFactor tells who shows what. Who has a secret on the server stays
// enrolled, whether or not this run brings one: a desk without secrets.age must
// not open what another has closed.
func demandedFactor(ctx context.Context, r server.Reader, c server.Config) (factorDemand, error) {
	var d factorDemand
	var late []string
	for _, a := range c.Admins {
		switch a.Factor {
		case server.InKey:
			d.keys = append(d.keys, a.Name)
			continue
		case server.CodeOnceEnrolled, server.CodeAlways:
		default:
			continue
		}
		_, err := r.Read(ctx, factor.Path(a.Name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d, err
		}
		switch {
		case err == nil || !c.Secrets[server.FactorSecret(a.Name)].IsZero():
			d.codes, d.enrolled = append(d.codes, a.Name), append(d.enrolled, a.Name)
		case a.Factor == server.CodeAlways:
			late = append(late, a.Name)
		default:
			d.pending = append(d.pending, a.Name)
		}
	}
	// Somebody must be left who can enroll the others.
	if len(d.enrolled)+len(d.keys) > 0 {
		d.codes = append(d.codes, late...)
	} else {
		d.pending = append(d.pending, late...)
	}
	return d, nil
}

func (d factorDemand) none() bool { return len(d.codes)+len(d.keys) == 0 }

// allows reports whether a setting differs from what is wanted of everybody
// because of the second factor of the one who connects.
func (d factorDemand) allows(user, keyword, value string) bool {
	switch {
	case slices.Contains(d.codes, user):
		return keyword == "kbdinteractiveauthentication" && value == "yes" ||
			keyword == "authenticationmethods" && value == codeMethods
	case slices.Contains(d.keys, user):
		return keyword == "pubkeyacceptedalgorithms" && value == fido2Algorithms
	}
	return false
}

const (
	codeMethods     = "publickey,keyboard-interactive"
	fido2Algorithms = "sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com"
)

// blocks are the lines of the drop-in.
func (d factorDemand) blocks() string {
	var b strings.Builder
	if len(d.codes) > 0 {
		b.WriteString("\nMatch User " + strings.Join(d.codes, ",") + "\n" +
			"    KbdInteractiveAuthentication yes\n    AuthenticationMethods " + codeMethods + "\n")
	}
	if len(d.keys) > 0 {
		b.WriteString("\nMatch User " + strings.Join(d.keys, ",") + "\n" +
			"    AuthenticationMethods publickey\n    PubkeyAuthOptions verify-required\n    PubkeyAcceptedAlgorithms " + fido2Algorithms + "\n")
	}
	return b.String()
}

func wantFactor(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
	d, err := demandedFactor(ctx, r, c)
	if err != nil {
		return nil, err
	}
	base := server.Control{ID: "second-factor", Title: "who shows what besides a key"}
	if d.none() {
		return withoutDropIn(ctx, r, c, factorDropIn)
	}
	var all []server.Resource
	if len(d.codes) > 0 {
		if all, err = wantCodes(ctx, r, c, d); err != nil {
			return nil, err
		}
	}
	in := sshDropIn{
		file:     factorDropIn,
		settings: func(context.Context, server.Reader, server.Config) ([]setting, error) { return nil, nil },
		before:   func(server.Config) (string, error) { return d.blocks(), nil },
	}
	cleared, err := in.clearBlocks(ctx, r, []setting{
		{name: "KbdInteractiveAuthentication", value: "yes"}, {name: "AuthenticationMethods", value: codeMethods},
	})
	if err != nil {
		return nil, err
	}
	drop, err := in.wants(ctx, r, c, base)
	return slices.Concat(all, cleared, drop), err
}

// clearBlocks comments out what foreign Match blocks that sshd reads before the
// drop-in say otherwise. For everybody else the control ssh-keys-only says what
// holds.
func (d sshDropIn) clearBlocks(ctx context.Context, r server.Reader, want []setting) ([]server.Resource, error) {
	lines, err := configuration(ctx, r, map[string]string{d.path(): "Match all\n"})
	if err != nil {
		return nil, err
	}
	before, _ := d.blocking(lines, want)
	byFile, names := map[string][]int{}, []string{}
	for _, l := range before {
		if len(l.Matches) == 0 {
			continue
		}
		if byFile[l.File] == nil {
			names = append(names, l.File)
		}
		byFile[l.File] = append(byFile[l.File], l.Number)
	}
	var all []server.Resource
	for _, name := range names {
		f, err := edit(ctx, r, name, func(content string) (string, error) { return commentOut(content, byFile[name]), nil })
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

// wantCodes returns the secrets and what makes PAM ask for a code.
func wantCodes(ctx context.Context, r server.Reader, c server.Config, d factorDemand) ([]server.Resource, error) {
	all := []server.Resource{resource.Package{Package: factorPackage}}
	for _, name := range d.enrolled {
		f := resource.Factor{
			Account: name, Secret: c.Secrets[server.FactorSecret(name)], Lent: c.Secrets[server.LentSecret(name)],
		}
		if !f.Secret.IsZero() {
			e, err := factor.ParseEnrolment(f.Secret.Reveal())
			if err != nil {
				return nil, fmt.Errorf("the second factor of %s: %w", name, err)
			}
			if f.Digest, err = resource.FactorDigest(ctx, r, e.Text()); err != nil {
				return nil, err
			}
		}
		all = append(all, f)
	}
	foreign, err := withoutForeignCodes(ctx, r)
	if err != nil {
		return nil, err
	}
	all = append(all, foreign...)
	return append(all,
		resource.File{Path: path.Join(pamProfiles, factorProfile), Mode: 0o644, Content: profileText()},
		resource.PAM{Profile: factorProfile},
	), nil
}

// withoutForeignCodes takes lines of the module that somebody else has put into
// sshd's stack out of it, such as those of the guide's own scripts: they would
// ask for a second code, or with nullok for none.
func withoutForeignCodes(ctx context.Context, r server.Reader) ([]server.Resource, error) {
	e, err := r.Read(ctx, sshdStack)
	if err != nil {
		return nil, err
	}
	f := pam.Parse(e.Content)
	for _, p := range f.Stack("auth") {
		if path.Base(p.Module) == factorModule {
			f.Drop(p)
		}
	}
	if f.String() == e.Content {
		return nil, nil
	}
	return []server.Resource{edited(sshdStack, e, f.String())}, nil
}

// withoutDropIn removes a drop-in of ours that nothing is left to say in, and
// tells the daemon.
func withoutDropIn(ctx context.Context, r server.Reader, c server.Config, file string) ([]server.Resource, error) {
	name := path.Join(sshd.DropIns, file)
	_, err := r.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	daemon, err := lookAwake(ctx, r, c)
	if err != nil {
		return nil, err
	}
	lines, err := configuration(ctx, r, map[string]string{name: ""})
	if err != nil {
		return nil, err
	}
	return []server.Resource{resource.Absent{Path: name}, sshDaemon(daemon, lines)}, nil
}
