package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
	"github.com/holdfast-security/holdfast/server/sudoers"
)

// sudoReads is that sudo reads its whole policy: it passes over a file that
// others may write to, or that it does not understand.
var sudoReads = server.Proof{
	What: "the installed sudo reads every file of its policy",
	Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
		a := server.Answer{Command: "visudo -c"}
		out, err := r.Output(ctx, visudo[0], "-c")
		var failed *server.CommandError
		if errors.As(err, &failed) && failed.Err == nil {
			a.Evidence = strings.TrimSpace(failed.Output)
			return a, nil
		}
		a.Holds, a.Evidence = err == nil, strings.TrimSpace(out)
		return a, err
	},
}

// sudoPolicy is what the policy as a whole comes to.
var sudoPolicy = server.Proof{
	What: "every rule of sudo asks people for their own password, and every command gets a terminal of its own",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		const program = "/usr/bin/cvtsudoers"
		if _, err := r.Read(ctx, program); errors.Is(err, fs.ErrNotExist) {
			return listedPolicy(ctx, r)
		}
		a := server.Answer{Command: "cvtsudoers -f json " + sudoersMain}
		out, err := r.Output(ctx, program, "-f", "json", sudoersMain)
		if err != nil {
			return a, err
		}
		p, err := parsePolicy(out)
		if err != nil {
			return a, fmt.Errorf("reading what cvtsudoers printed: %w", err)
		}
		faults := p.faults()
		a.Holds = len(faults) == 0
		a.Evidence = strings.Join(faults, "\n")
		if a.Holds {
			a.Evidence = fmt.Sprintf("%d rules, each with a password; use_pty; a password counts for at most %d minutes", len(p.Rules), sudoers.MaxTimestampTimeout)
		}
		return a, nil
	},
}

// A policy is what cvtsudoers prints, as far as it matters here.
type policy struct {
	Defaults []struct {
		Binding []map[string]any
		Options []map[string]any
	}
	Rules []struct {
		Users    []map[string]any `json:"User_List"`
		Commands []struct {
			Options []map[string]any
		} `json:"Cmnd_Specs"`
	} `json:"User_Specs"`
}

func parsePolicy(text string) (policy, error) {
	var p policy
	err := json.Unmarshal([]byte(text), &p)
	return p, err
}

// faults are the reasons why the policy is not good enough.
func (p policy) faults() []string {
	var all []string
	pty := false
	for _, d := range p.Defaults {
		who := names(d.Binding)
		for _, o := range d.Options {
			if v, ok := o["authenticate"]; ok && v == false {
				all = append(all, "Defaults !authenticate for "+who)
			}
			for _, name := range []string{"rootpw", "targetpw", "runaspw"} {
				if o[name] == true {
					all = append(all, "Defaults "+name+" for "+who)
				}
			}
			if v, ok := o["use_pty"]; ok {
				pty = v == true
			}
			if v, ok := o["exempt_group"]; ok && v != false {
				all = append(all, fmt.Sprintf("Defaults exempt_group=%v for %s", v, who))
			}
			if v, ok := o["timestamp_timeout"]; ok && forEver(v) {
				all = append(all, fmt.Sprintf("Defaults timestamp_timeout=%v for %s", v, who))
			}
		}
	}
	if !pty {
		all = append(all, "Defaults use_pty is not set")
	}
	for _, rule := range p.Rules {
		for _, c := range rule.Commands {
			for _, o := range c.Options {
				if v, ok := o["authenticate"]; ok && v == false {
					all = append(all, "NOPASSWD for "+names(rule.Users))
				}
			}
		}
	}
	return slices.Compact(all)
}

// names lists what cvtsudoers says somebody is.
func names(who []map[string]any) string {
	var all []string
	for _, w := range who {
		for kind, name := range w {
			if kind == "usergroup" {
				name = fmt.Sprintf("%%%v", name)
			}
			if kind != "negated" {
				all = append(all, fmt.Sprint(name))
			}
		}
	}
	if len(all) == 0 {
		return "everybody"
	}
	return strings.Join(all, ", ")
}

// forEver reports whether a timestamp_timeout is too long.
func forEver(v any) bool {
	minutes, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	return err == nil && (minutes < 0 || minutes > sudoers.MaxTimestampTimeout)
}

// listedPolicy asks sudo itself, account by account, where there is no
// cvtsudoers, as with sudo-rs.
func listedPolicy(ctx context.Context, r server.Reader) (server.Answer, error) {
	a := server.Answer{Holds: true, Command: "sudo -l -U NAME"}
	db, err := accounts.Load(ctx, r)
	if err != nil {
		return a, err
	}
	var asked, faults []string
	for _, account := range db.Accounts {
		if account.UID == 0 || !account.Interactive() {
			continue
		}
		out, err := r.Output(ctx, sudoBinary, "-l", "-U", account.Name)
		var failed *server.CommandError
		if err != nil && !(errors.As(err, &failed) && failed.Err == nil) {
			return a, err // otherwise it may do nothing, which sudo-rs calls a failure
		}
		asked = append(asked, account.Name)
		if strings.Contains(out, "NOPASSWD:") || strings.Contains(out, "!authenticate") {
			faults = append(faults, "no password for "+account.Name)
		}
	}
	a.Holds = len(faults) == 0
	a.Evidence = "sudo was asked about " + strings.Join(asked, ", ") + "\n" + strings.Join(faults, "\n")
	return a, nil
}

// sudoRefuses is the real attempt: nobody who may use sudo gets anywhere
// without a password.
var sudoRefuses = server.Proof{
	What: "sudo does nothing for an admin who gives no password",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		db, err := accounts.Load(ctx, r)
		if err != nil {
			return server.Answer{}, err
		}
		people := slices.DeleteFunc(slices.Clone(db.Accounts), func(a accounts.Account) bool {
			return a.UID == 0 || !db.In(a, adminGroup)
		})
		return inWorld(ctx, r, func(w server.World) (server.Answer, error) {
			return tryWithoutPassword(ctx, w, people)
		})
	},
}

func tryWithoutPassword(ctx context.Context, w server.World, people []accounts.Account) (server.Answer, error) {
	a := server.Answer{Holds: true, Command: "runuser -u NAME -- sudo -k -n true"}
	var said []string
	for _, p := range people {
		no, why, err := refused(ctx, w, "", "runuser", "-u", p.Name, "--", sudoBinary, "-k", "-n", "/bin/true")
		if err != nil {
			return a, err
		}
		switch {
		case !no:
			a.Holds, why = false, "sudo ran a command"
		case !strings.Contains(why, "is required"): // "a password", or "interactive authentication"
			a.Holds, why = false, "sudo did not get as far as asking: "+lastLine(why)
		}
		said = append(said, p.Name+": "+lastLine(why))
	}
	a.Evidence = strings.Join(said, "\n")
	if len(people) == 0 {
		a.Evidence = "the group " + adminGroup + " has no members"
	}
	return a, nil
}
