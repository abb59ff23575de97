package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// Reach is section 3.8, "Reaching servers behind others".
func Reach() []server.Control {
	c := sshControl(server.Control{
		ID:       "ssh-jump",
		Guide:    "3.8",
		Title:    "SSH goes through jump hosts and lends them no agent",
		Why:      "Whoever has taken a jump host can use an agent that is forwarded to it, and not a connection that only passes through.",
		Severity: server.Medium,
		LocksOut: true,
	}, sshDropIn{file: "00-holdfast-jump.conf", settings: noAgent, before: jumpBlock}, nil)
	proofs := c.Proofs
	c.Proofs = func(config server.Config) []server.Proof {
		all := proofs(config)
		if config.Jump {
			all = append(all, letsThrough)
		}
		return all
	}
	return []server.Control{c}
}

// noAgent keeps agents at the desk, unless the site asks for them on this
// server.
func noAgent(_ context.Context, _ server.Reader, c server.Config) ([]setting, error) {
	if c.AgentForwarding {
		return []setting{{name: "AllowAgentForwarding", value: "yes"}}, nil
	}
	return []setting{{name: "AllowAgentForwarding", value: "no"}}, nil
}

// jumpBlock lets the admins through a jump host, whatever its other files say of
// forwarding: without that nobody reaches what is behind it. It speaks of the
// admins alone, so that what those files forbid to others stays forbidden.
func jumpBlock(c server.Config) (string, error) {
	if !c.Jump || len(c.Admins) == 0 {
		return "", nil
	}
	return "\n# Other servers are reached through this one.\n" +
		"Match User " + strings.Join(adminNames(c), ",") + "\n" +
		"    DisableForwarding no\n" +
		"    AllowTcpForwarding local\n" +
		"    PermitOpen any\n", nil
}

// letsThrough is that a jump host carries the admins' connections on.
var letsThrough = server.Proof{
	What: "sshd lets every admin through to the servers behind this one",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		d, err := lookAwake(ctx, r, c)
		if err != nil {
			return server.Answer{}, err
		}
		var asked []sshd.Spec
		for _, name := range adminNames(c) {
			s := anybody(c)
			s.User = name
			asked = append(asked, s)
		}
		found, err := askAll(ctx, r, d.Options, asked)
		if err != nil {
			return server.Answer{}, err
		}
		a := server.Answer{Holds: true}
		var said []string
		for i, s := range found {
			forwarding, open, off := s.Get("allowtcpforwarding"), s.Get("permitopen"), s.Get("disableforwarding")
			through := slices.Contains([]string{"yes", "all", "local"}, forwarding) && open == "any" && off != "yes"
			a.Holds = a.Holds && through
			said = append(said, fmt.Sprintf("%s: allowtcpforwarding %s, permitopen %s, disableforwarding %s", asked[i].User, forwarding, open, off))
			if a.Command == "" || !through {
				a.Command = strings.Join(sshd.Ask(d.Options, &asked[i]), " ")
			}
		}
		a.Evidence = strings.Join(said, "\n")
		return a, nil
	},
}
