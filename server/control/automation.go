package control

import (
	"context"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/sshd"
)

const (
	// automationKeys holds one file an account. It belongs to root, so that the
	// program cannot give itself another key.
	automationKeys   = "/etc/ssh/holdfast_automation"
	automationDropIn = ownPrefix + "0-automation.conf"
	// automationShell runs the one command.
	automationShell = "/bin/sh"
)

func wantAutomation(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
	if len(c.Automation) == 0 {
		return withoutDropIn(ctx, r, c, automationDropIn)
	}
	all := []server.Resource{resource.Dir{Path: automationKeys, Mode: 0o755}}
	for _, a := range c.Automation {
		line, err := automationKey(a)
		if err != nil {
			return nil, fmt.Errorf("the account %s of a program: %w", a.Name, err)
		}
		all = append(all,
			resource.Account{Account: a.Name, Shell: automationShell},
			resource.Password{Account: a.Name, Locked: true},
			resource.File{Path: path.Join(automationKeys, a.Name), Mode: 0o644, Content: line},
		)
	}
	in := sshDropIn{
		file:     automationDropIn,
		settings: func(context.Context, server.Reader, server.Config) ([]setting, error) { return nil, nil },
		before:   automationBlocks,
	}
	drop, err := in.wants(ctx, r, c, server.Control{ID: "automation-accounts", Title: "what programs may do"})
	return append(all, drop...), err
}

// automationKey is the line of the key file. expiry-time is the moment after the
// last day.
func automationKey(a server.Automation) (string, error) {
	k, err := sshd.ParseKey(a.Key)
	if err == nil {
		err = k.Strong()
	}
	if err != nil {
		return "", err
	}
	var networks []string
	for _, from := range a.From {
		n, err := netip.ParsePrefix(from)
		if err != nil {
			return "", fmt.Errorf("its networks: %w", err)
		}
		networks = append(networks, n.Masked().String())
	}
	last, err := time.Parse(time.DateOnly, string(a.Until))
	if err != nil || networks == nil || !strings.HasPrefix(a.Command, "/") || strings.ContainsAny(a.Command, "\"\\\n") {
		return "", fmt.Errorf("it has no network, no last day or no plain command")
	}
	return fmt.Sprintf("restrict,from=%q,command=\"%s\",expiry-time=\"%s\" %s %s %s\n", strings.Join(networks, ","), a.Command,
		last.AddDate(0, 0, 1).Format("20060102"), k.Type, k.Blob, k.Comment), nil
}

func automationBlocks(c server.Config) (string, error) {
	var b strings.Builder
	for _, a := range c.Automation {
		fmt.Fprintf(&b, "\nMatch User %s\n", a.Name)
		for _, s := range confined(a) {
			fmt.Fprintf(&b, "    %s %s\n", s.name, s.value)
		}
	}
	return b.String(), nil
}

// confined is what sshd is told of a program's account.
func confined(a server.Automation) []setting {
	return []setting{
		{name: "AuthenticationMethods", value: "publickey"},
		{name: "AuthorizedKeysFile", value: path.Join(automationKeys, a.Name)},
		{name: "AuthorizedKeysCommand", value: "none"},
		{name: "TrustedUserCAKeys", value: "none"},
		{name: "ForceCommand", value: a.Command},
		{name: "PermitTTY", value: "no"},
		{name: "PermitUserRC", value: "no"},
		{name: "AllowTcpForwarding", value: "no"},
		{name: "AllowStreamLocalForwarding", value: "no"},
		{name: "AllowAgentForwarding", value: "no"},
		{name: "X11Forwarding", value: "no"},
	}
}

// automationConfined is that sshd says so.
var automationConfined = server.Proof{
	What: "sshd runs one command for each program, with a key alone",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Holds: true, Evidence: "the site names no program"}
		if len(c.Automation) == 0 {
			return a, nil
		}
		daemon, err := lookAwake(ctx, r, c)
		if err != nil {
			return a, err
		}
		var wrong, right []string
		for _, one := range c.Automation {
			spec := anybody(c)
			spec.User = one.Name
			found, err := sshd.Effective(ctx, r, daemon.Options, &spec)
			if err != nil {
				return a, err
			}
			a.Command = strings.Join(sshd.Ask(daemon.Options, &spec), " ")
			for _, s := range confined(one) {
				if got := found.Get(s.keyword()); !s.met(got) && !(s.value == "none" && got == "") {
					wrong = append(wrong, fmt.Sprintf("%s %s for %s", s.keyword(), got, one.Name))
				}
			}
			right = append(right, fmt.Sprintf("%s runs %s from %s until %s", one.Name, one.Command, strings.Join(one.From, ", "), one.Until))
		}
		a.Evidence = strings.Join(right, "\n")
		if len(wrong) > 0 {
			a.Holds, a.Evidence = false, strings.Join(wrong, "\n")
		}
		return a, nil
	},
}

// automationInTime is that the exceptions are still meant.
var automationInTime = server.Proof{
	What: "no program's time is over",
	Ask: func(_ context.Context, _ server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Holds: true, Evidence: "none is"}
		var over []string
		for _, one := range c.Automation {
			if one.Until.Over(time.Now()) {
				over = append(over, one.Name+" worked until "+string(one.Until))
			}
		}
		if len(over) > 0 {
			slices.Sort(over)
			a.Holds, a.Evidence = false, strings.Join(over, "\n")
		}
		return a, nil
	},
}
