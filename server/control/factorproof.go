package control

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/pam"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// everybodyEnrolled is that nobody gets in with a key alone.
var everybodyEnrolled = server.Proof{
	What: "every admin is enrolled",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Command: "ls " + factor.Dir}
		switch c.Codes {
		case "":
			a.Evidence = "the site file has no second_factor"
			return a, nil
		case server.NoCodes:
			a.Holds, a.Evidence = true, "the site file wants none (second_factor: codes: none)"
			return a, nil
		}
		d, err := demandedFactor(ctx, r, c)
		if err != nil {
			return a, err
		}
		var missing []string
		for _, admin := range c.Admins {
			if !slices.Contains(d.enrolled, admin.Name) && !slices.Contains(d.keys, admin.Name) {
				missing = append(missing, admin.Name+" is not enrolled"+d.until(admin, c))
			}
		}
		a.Holds = len(missing) == 0
		a.Evidence = strings.Join(missing, "\n")
		if a.Holds {
			a.Evidence = "by code: " + words(d.enrolled) + "; by FIDO2 key: " + words(d.keys)
		}
		return a, nil
	},
}

// until says how an admin who is not enrolled gets in.
func (d factorDemand) until(a server.Admin, c server.Config) string {
	switch {
	case slices.Contains(d.codes, a.Name):
		return ", and the time for it was over on " + string(c.EnrollUntil) + ": kept out"
	case a.Factor == server.CodeAlways:
		return ", and the time for it was over on " + string(c.EnrollUntil) + "; nobody is, so the key alone is enough"
	case c.EnrollUntil != "":
		return "; the key alone is enough until " + string(c.EnrollUntil)
	}
	return "; the key alone is enough"
}

func words(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// factorDemanded is that sshd asks for it, whoever connects from wherever.
var factorDemanded = server.Proof{
	What: "sshd lets no enrolled admin in with a key alone",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Holds: true, Evidence: "nobody is enrolled"}
		d, err := demandedFactor(ctx, r, c)
		if err != nil || d.none() {
			return a, err
		}
		daemon, err := lookAwake(ctx, r, c)
		if err != nil {
			return a, err
		}
		lines, err := sshd.Lines(ctx, r, nil)
		if err != nil {
			return a, err
		}
		asked, err := questions(ctx, r, c, lines)
		if err != nil {
			return a, err
		}
		asked = slices.DeleteFunc(asked, func(s sshd.Spec) bool {
			return !slices.Contains(d.codes, s.User) && !slices.Contains(d.keys, s.User)
		})
		var wrong []string
		for _, options := range [][]string{daemon.Options, daemon.RunningOptions} {
			found, err := askAll(ctx, r, options, asked)
			if err != nil {
				return a, err
			}
			for i, spec := range asked {
				if says := d.misses(spec.User, found[i]); says != "" {
					wrong = append(wrong, says+" for "+spec.User+" from "+spec.Addr)
				}
			}
		}
		a.Command = strings.Join(sshd.Ask(daemon.Options, &asked[0]), " ")
		a.Evidence = "authenticationmethods " + codeMethods + " for " + words(d.codes) + "; FIDO2 keys that verify alone for " + words(d.keys)
		if len(wrong) > 0 {
			slices.Sort(wrong)
			a.Holds, a.Evidence = false, strings.Join(slices.Compact(wrong), "\n")
		}
		return a, nil
	},
}

// misses is the setting by which sshd lets an admin in with less, empty if there
// is none.
func (d factorDemand) misses(user string, s sshd.Settings) string {
	demands := []setting{{name: "authenticationmethods", value: codeMethods}, {name: "kbdinteractiveauthentication", value: "yes"}}
	if slices.Contains(d.keys, user) {
		demands = []setting{
			{name: "authenticationmethods", value: "publickey"}, {name: "pubkeyauthoptions", value: "verify-required"},
			{name: "pubkeyacceptedalgorithms", value: fido2Algorithms},
		}
	}
	for _, one := range demands {
		if got := s.Get(one.name); !one.met(got) {
			return one.name + " " + got
		}
	}
	return ""
}

// codeAsked is that PAM asks sshd's clients for the code and for nothing else,
// and everybody else for the password.
var codeAsked = server.Proof{
	What: "PAM asks for the code, and only for the code, after the key",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Command: "grep -v '^#' " + sshdStack + " " + commonAuth}
		d, err := demandedFactor(ctx, r, c)
		if err != nil {
			return a, err
		}
		if len(d.codes) == 0 {
			a.Holds, a.Evidence = true, "nobody shows a code"
			return a, nil
		}
		there, err := installed(ctx, r, factorModule)
		if err != nil {
			return a, err
		}
		if !there {
			a.Evidence = "the module " + factorModule + " is not installed"
			return a, nil
		}
		own, err := r.Read(ctx, sshdStack)
		if err != nil {
			return a, err
		}
		common, err := r.Read(ctx, commonAuth)
		if err != nil {
			return a, err
		}
		if said := before(own.Content); said != "" {
			a.Evidence = sshdStack + " asks something else first: " + said
			return a, nil
		}
		a.Evidence, a.Holds = asksCode(common.Content)
		return a, nil
	},
}

// before returns the first rule of sshd's stack that stands before what all
// services share and can let somebody in or ask something, empty if there is
// none.
func before(content string) string {
	own, _, included := strings.Cut(content, "@include common-auth")
	if !included {
		return "common-auth is not included"
	}
	for _, p := range pam.Parse(own).Stack("auth") {
		if module := path.Base(p.Module); module != "pam_env.so" && module != "pam_nologin.so" && module != "pam_faildelay.so" {
			return strings.ReplaceAll(p.String(), "\t", " ")
		}
	}
	return ""
}

// asksCode reports whether the shared stack begins with our profile.
func asksCode(content string) (evidence string, ok bool) {
	stack := pam.Parse(content).Stack("auth")
	var said []string
	for _, p := range stack {
		said = append(said, strings.ReplaceAll(p.String(), "\t", " "))
	}
	evidence = strings.Join(said, "\n")
	if len(stack) < 2 {
		return evidence, false
	}
	gate, code := stack[0], stack[1]
	sorted := slices.Clone(code.Args)
	slices.Sort(sorted)
	want := slices.Clone(factorArgs)
	slices.Sort(want)
	for _, p := range stack[2:] {
		if path.Base(p.Module) == factorModule {
			return fmt.Sprintf("a second line asks for a code\n%s", evidence), false
		}
	}
	ok = path.Base(gate.Module) == "pam_succeed_if.so" && gate.Control == "[success=ignore default=1]" &&
		slices.Equal(gate.Args, []string{"quiet", "service", "=", "sshd"}) &&
		path.Base(code.Module) == factorModule && code.Refuses() && slices.Equal(sorted, want)
	return evidence, ok
}
