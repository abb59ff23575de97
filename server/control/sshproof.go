package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/accounts"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// stranger is an account that no server has; clientAddr an address that no
// client has (TEST-NET-1, RFC 5737).
const (
	stranger   = "holdfast-stranger"
	clientAddr = "192.0.2.1"
)

// proof is that sshd comes to the settings of the drop-in whoever connects,
// with the options of the process that runs and of the one that would be
// started next.
func (d sshDropIn) proof() server.Proof {
	return server.Proof{
		What: "sshd says so to every admin, root, a stranger and everyone a Match block names",
		Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
			daemon, err := lookAwake(ctx, r, c)
			if err != nil {
				return server.Answer{}, err
			}
			want, err := d.known(ctx, r, c)
			if err != nil {
				return server.Answer{}, err
			}
			lines, err := sshd.Lines(ctx, r, nil)
			if err != nil {
				return server.Answer{}, err
			}
			asked, err := questions(ctx, r, c, lines)
			if err != nil {
				return server.Answer{}, err
			}
			return d.answer(ctx, r, c, daemon, want, lines, asked)
		},
	}
}

// answer puts every question to sshd.
func (d sshDropIn) answer(ctx context.Context, r server.Reader, c server.Config, daemon sshd.Daemon, want []setting, lines []sshd.Line, asked []sshd.Spec) (server.Answer, error) {
	var (
		wrong    contradictions
		overs    = slices.Concat(daemon.Next, daemon.Running)
		starts   = [][]string{daemon.Options}
		commands = sshd.Ask(daemon.Options, &asked[0])
	)
	factors, err := demandedFactor(ctx, r, c)
	if err != nil {
		return server.Answer{}, err
	}
	if daemon.PID != "" && !slices.Equal(daemon.Options, daemon.RunningOptions) {
		starts = append(starts, daemon.RunningOptions)
	}
	for _, options := range starts {
		found, err := askAll(ctx, r, options, asked)
		if err != nil {
			return server.Answer{}, err
		}
		for i, spec := range asked {
			for _, s := range want {
				got := found[i].Get(s.keyword())
				if s.met(got) || rootByKey(c, spec, s, got) || factors.allows(spec.User, s.keyword(), got) {
					continue
				}
				wrong.add(spec, s.keyword()+" "+got, origin(s, got, overs, lines))
				commands = sshd.Ask(options, &spec)
			}
		}
	}
	a := server.Answer{Holds: len(wrong) == 0, Command: strings.Join(commands, " ")}
	if a.Holds {
		a.Evidence = fmt.Sprintf("%s, asked for %s", settingsText(want), specsText(asked))
	} else {
		a.Evidence = wrong.String()
	}
	return a, nil
}

// contradictions are the settings that are not as wanted, with everybody for
// whom they are not.
type contradictions []contradiction

type contradiction struct {
	setting, origin string
	who             []string
}

func (all *contradictions) add(spec sshd.Spec, setting, origin string) {
	who := spec.User + " from " + spec.Addr
	for i, c := range *all {
		if c.setting == setting && c.origin == origin {
			if !slices.Contains(c.who, who) {
				(*all)[i].who = append(c.who, who)
			}
			return
		}
	}
	*all = append(*all, contradiction{setting, origin, []string{who}})
}

// String has a line for each, those that a file or an option causes first.
func (all contradictions) String() string {
	var caused, others []string
	for _, c := range all {
		if c.origin == "" {
			others = append(others, fmt.Sprintf("%s for %s", c.setting, strings.Join(c.who, ", ")))
		} else {
			caused = append(caused, fmt.Sprintf("%s for %s, because of %s", c.setting, strings.Join(c.who, ", "), c.origin))
		}
	}
	return strings.Join(append(caused, others...), "\n")
}

// rootByKey reports whether a setting differs because the break-glass key is
// let in.
func rootByKey(c server.Config, spec sshd.Spec, s setting, got string) bool {
	return s.keyword() == "permitrootlogin" && spec.User == "root" && letsRootIn(c, spec.Addr) && sameValue(got, "prohibit-password")
}

// origin names what gave a setting its value: options and lines that say so;
// empty if none does and it is sshd's default or a list that a file changes.
func origin(s setting, got string, overrides []sshd.Override, lines []sshd.Line) string {
	var places []string
	for _, o := range overrides {
		if o.Keyword == s.keyword() && sameValue(o.Value, got) {
			places = append(places, o.String())
		}
	}
	for _, l := range lines {
		if l.Keyword != s.keyword() || !sameValue(l.Value(), got) {
			continue
		}
		place := l.String()
		for _, m := range l.Matches {
			place += " (in " + m.String() + ")"
		}
		places = append(places, place)
	}
	slices.Sort(places)
	return strings.Join(slices.Compact(places), "; ")
}

func settingsText(want []setting) string {
	var all []string
	for _, s := range want {
		all = append(all, s.keyword()+" "+s.value)
	}
	return strings.Join(all, ", ")
}

func specsText(asked []sshd.Spec) string {
	var all []string
	for _, s := range asked {
		all = append(all, s.User+" from "+s.Addr)
	}
	return strings.Join(all, ", ")
}

// anybody is a connection of somebody whom no file speaks of.
func anybody(c server.Config) sshd.Spec {
	return sshd.Spec{User: stranger, Host: clientAddr, Addr: clientAddr, LocalAddr: "192.0.2.2", LocalPort: c.Port}
}

// questions are the connections to ask about: every admin, root and a stranger,
// from anywhere and from where the break-glass key works, and a sample of every
// condition in the files.
func questions(ctx context.Context, r server.Reader, c server.Config, lines []sshd.Line) ([]sshd.Spec, error) {
	base := anybody(c)
	users := []string{stranger, "root"}
	if c.BreakGlass.Account != "" {
		users = append(users, c.BreakGlass.Account)
	}
	for _, a := range c.Admins {
		users = append(users, a.Name)
	}
	var asked []sshd.Spec
	add := func(s sshd.Spec) {
		if !slices.Contains(asked, s) {
			asked = append(asked, s)
		}
	}
	for _, user := range users {
		s := base
		s.User = user
		add(s)
	}
	for _, from := range c.BreakGlass.From {
		s, ok := sshd.Sample([]sshd.Match{{{Name: "user", Patterns: "root"}, {Name: "address", Patterns: from}}}, base, nil)
		if ok {
			add(s)
		}
	}
	var failed error
	member := func(group string) string {
		name, err := memberOf(ctx, r, group)
		failed = errors.Join(failed, err)
		return name
	}
	for _, l := range lines {
		if l.Keyword != "match" || own(l.File) {
			continue
		}
		for _, user := range users {
			s := base
			s.User = user
			if s, ok := sshd.Sample(l.Matches, s, member); ok {
				add(s)
			}
		}
	}
	return asked, failed
}

// memberOf returns an account that belongs to group, "" if there is none.
func memberOf(ctx context.Context, r server.Reader, group string) (string, error) {
	out, err := r.Output(ctx, "getent", "group", group)
	var failed *server.CommandError
	if errors.As(err, &failed) && failed.Exit == 2 {
		return "", nil // there is no such group
	}
	if err != nil {
		return "", fmt.Errorf("looking for members of the group %s: %w", group, err)
	}
	db := accounts.Parse("", out, "")
	if len(db.Groups) != 1 {
		return "", fmt.Errorf("getent says of the group %s: %q", group, out)
	}
	if g := db.Groups[0]; len(g.Members) > 0 {
		return g.Members[0], nil
	}
	everybody, err := r.Output(ctx, "getent", "passwd")
	if err != nil {
		return "", fmt.Errorf("looking for members of the group %s: %w", group, err)
	}
	for _, a := range accounts.Parse(everybody, "", "").Accounts {
		if a.GID == db.Groups[0].GID {
			return a.Name, nil
		}
	}
	return "", nil
}

// askers is how many sshd -T run side by side.
const askers = 4

// askAll asks sshd about each connection.
func askAll(ctx context.Context, r server.Reader, options []string, asked []sshd.Spec) ([]sshd.Settings, error) {
	var (
		found = make([]sshd.Settings, len(asked))
		errs  = make([]error, len(asked))
		slots = make(chan struct{}, askers)
		wg    sync.WaitGroup
	)
	for i := range asked {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			found[i], errs[i] = sshd.Effective(ctx, r, options, &asked[i])
		})
	}
	wg.Wait()
	return found, errors.Join(errs...)
}
