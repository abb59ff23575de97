package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/firewall"
	"github.com/holdfast-security/holdfast/server/resource"
)

// Firewall is section 3.11: a table of ours in nftables, beside whatever else
// is there, and nothing that works against it.
func Firewall() []server.Control {
	alone := server.Control{
		ID:         "one-firewall",
		Guide:      "3.11",
		Title:      "No other firewall works beside ours",
		Why:        "Of two firewalls that do not know of each other, neither admits what it says.",
		Severity:   server.Medium,
		References: []server.Reference{{Benchmark: "CIS Debian 12", Version: "1.1.0", Number: "4.1.1"}, {Benchmark: "CIS Ubuntu 24.04", Version: "1.0.0", Number: "4.1.1"}},
		LocksOut:   true,
		Wants:      wantOneFirewall,
		Proofs:     func(server.Config) []server.Proof { return []server.Proof{noOtherFirewall} },
	}
	rules := server.Control{
		ID:       "firewall",
		Guide:    "3.11",
		Title:    "Only what the server's role needs is let in",
		Why:      "What listens without anybody knowing must not be reached, over IPv4 or IPv6.",
		Severity: server.High,
		References: slices.Concat(
			cis("4.3.5", "4.1.3"),
			[]server.Reference{
				{Benchmark: "CIS Debian 12", Version: "1.1.0", Number: "4.3.6"}, {Benchmark: "CIS Debian 12", Version: "1.1.0", Number: "4.3.8"},
				{Benchmark: "CIS Debian 12", Version: "1.1.0", Number: "4.3.10"},
			},
			stig("UBTU-24-300041"), stig("UBTU-24-600200"),
		),
		LocksOut: true,
	}
	rules.Wants = func(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
		return wantFirewall(ctx, r, c, rules)
	}
	rules.Proofs = func(server.Config) []server.Proof {
		return []server.Proof{dropsByDefault, admitsThePolicy, comesBack}
	}
	return []server.Control{alone, rules}
}

// Our files.
const (
	firewallDir    = "/etc/holdfast"
	firewallFile   = firewallDir + "/nftables.conf"
	firewallUnit   = "holdfast-firewall.service"
	systemdDir     = "/etc/systemd/system"
	firewallDropIn = systemdDir + "/nftables.service.d/holdfast.conf"
	nftProgram     = "/usr/sbin/nft"
)

// firewallService loads the table at boot. It comes after nftables.service,
// which erases every table, and after a rollback that the boot has begun.
const firewallService = `# Holdfast, control firewall.
[Unit]
Description=Holdfast: the firewall of this server
DefaultDependencies=no
ConditionPathExists=` + firewallFile + `
After=holdfast-guard.service nftables.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + nftProgram + ` -f ` + firewallFile + `
ExecReload=` + nftProgram + ` -f ` + firewallFile + `

[Install]
WantedBy=sysinit.target
`

// firewallAgain loads the table whenever nftables.service has erased it.
const firewallAgain = `# Holdfast, control firewall: nftables.service erases every table when it is
# started, reloaded or stopped.
[Service]
ExecStartPost=-` + nftProgram + ` -f ` + firewallFile + `
ExecReload=-` + nftProgram + ` -f ` + firewallFile + `
ExecStopPost=-` + nftProgram + ` -f ` + firewallFile + `
`

func wantFirewall(ctx context.Context, r server.Reader, c server.Config, control server.Control) ([]server.Resource, error) {
	installed, err := isThere(ctx, r, nftProgram)
	if err != nil {
		return nil, err
	}
	if !firewall.On(c) {
		return wantNoFirewall(installed), nil
	}
	if !installed {
		return []server.Resource{resource.Package{Package: "nftables"}}, nil
	}
	table, err := wantTable(ctx, r, c)
	if err != nil {
		return nil, err
	}
	content := fmt.Sprintf("#!%s -f\n# Holdfast, control %s: %s.\n", nftProgram, control.ID, control.Title) +
		resource.TableScript(table.Family, table.Table, table.Rules)
	wants := systemdDir + "/sysinit.target.wants"
	return append([]server.Resource{
		resource.Dir{Path: firewallDir, Mode: 0o755},
		resource.File{Path: firewallFile, Mode: 0o600, Content: content, Test: []string{nftProgram, "-c", "-f"}},
		resource.File{Path: systemdDir + "/" + firewallUnit, Mode: 0o644, Content: firewallService},
		resource.Dir{Path: wants, Mode: 0o755},
		resource.Link{Path: wants + "/" + firewallUnit, Target: "../" + firewallUnit},
		resource.Dir{Path: path.Dir(firewallDropIn), Mode: 0o755},
		resource.File{Path: firewallDropIn, Mode: 0o644, Content: firewallAgain},
		table,
	}, firewallUnits()...), nil
}

// firewallUnits are the units that systemd has to know as their files are.
func firewallUnits() []server.Resource {
	return []server.Resource{
		resource.Loaded{Unit: firewallUnit, Files: []string{systemdDir + "/" + firewallUnit}},
		resource.Loaded{Unit: "nftables.service", Files: []string{path.Dir(firewallDropIn) + "/*.conf"}},
	}
}

// wantNoFirewall takes ours away where the provider filters.
func wantNoFirewall(installed bool) []server.Resource {
	all := []server.Resource{
		resource.Absent{Path: systemdDir + "/sysinit.target.wants/" + firewallUnit},
		resource.Absent{Path: firewallDropIn},
		resource.Absent{Path: systemdDir + "/" + firewallUnit},
		resource.Absent{Path: firewallFile},
	}
	if installed {
		all = append(all, resource.Table{Family: firewall.Family, Table: firewall.Name})
		all = append(all, firewallUnits()...)
	}
	return all
}

// wantTable returns the table for a server as it is.
func wantTable(ctx context.Context, r server.Reader, c server.Config) (resource.Table, error) {
	p, err := firewall.New(c)
	if err != nil {
		return resource.Table{}, err
	}
	docker, err := hasDocker(ctx, r)
	if err != nil {
		return resource.Table{}, err
	}
	return resource.Table{Family: firewall.Family, Table: firewall.Name, Rules: p.Table(docker)}, nil
}

func isThere(ctx context.Context, r server.Reader, path string) (bool, error) {
	_, err := r.Read(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// hasDocker tells whether containers of Docker run here, or may at any time: its
// daemon is installed or has left its rules, those of iptables or, from Docker
// 29 on, tables of its own.
func hasDocker(ctx context.Context, r server.Reader) (bool, error) {
	for _, program := range []string{"/usr/bin/dockerd", "/usr/sbin/dockerd", "/snap/bin/dockerd"} {
		if found, err := isThere(ctx, r, program); found || err != nil {
			return found, err
		}
	}
	out, err := r.Output(ctx, "nft", "list", "chains")
	if err != nil {
		return false, err
	}
	return strings.Contains(out, "chain DOCKER") || strings.Contains(out, " docker-bridges {"), nil
}

// errProvider says that a statement about packets cannot be proven from inside.
var errProvider = errors.New("the hosting provider filters, and only a probe from outside can tell what is admitted")

// dropsByDefault is what the kernel does with a packet that no rule is about.
var dropsByDefault = server.Proof{
	What: "the kernel drops what no rule admits, for itself and for others, over IPv4 and IPv6",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		if !firewall.On(c) {
			return server.Answer{}, errProvider
		}
		a := server.Answer{Command: "nft list chains inet"}
		if found, err := isThere(ctx, r, nftProgram); !found || err != nil {
			a.Evidence = "nftables is not installed"
			return a, err
		}
		out, err := r.Output(ctx, "nft", "-j", "list", "chains", firewall.Family)
		if err != nil {
			return a, err
		}
		policies, err := chainPolicies(out)
		if err != nil {
			return a, err
		}
		var said []string
		a.Holds = true
		for _, hook := range []string{"input", "forward"} {
			policy := policies[hook]
			if policy == "" {
				policy = "nothing"
			}
			a.Holds = a.Holds && policy == "drop"
			said = append(said, fmt.Sprintf("at the hook %s our table does %s by default", hook, policy))
		}
		a.Evidence = strings.Join(said, "; ")
		return a, nil
	},
}

// chainPolicies returns the policies of our base chains, by hook, of what
// nft -j list chains prints.
func chainPolicies(listed string) (map[string]string, error) {
	var all struct {
		Nftables []struct {
			Chain struct{ Table, Hook, Type, Policy string } `json:"chain"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(listed), &all); err != nil {
		return nil, fmt.Errorf("reading what nft prints: %w", err)
	}
	policies := map[string]string{}
	for _, one := range all.Nftables {
		if one.Chain.Table == firewall.Name && one.Chain.Type == "filter" {
			policies[one.Chain.Hook] = one.Chain.Policy
		}
	}
	return policies, nil
}

// admitsThePolicy compares the live rules with the policy.
var admitsThePolicy = server.Proof{
	What: "the live rules admit what the server's role needs, and no more",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		if !firewall.On(c) {
			return server.Answer{}, errProvider
		}
		a := server.Answer{Command: "nft -s list table " + firewall.Family + " " + firewall.Name}
		if found, err := isThere(ctx, r, nftProgram); !found || err != nil {
			a.Evidence = "nftables is not installed"
			return a, err
		}
		table, err := wantTable(ctx, r, c)
		if err != nil {
			return a, err
		}
		live, err := table.Get(ctx, r)
		if err != nil {
			return a, err
		}
		if live == table.Want() {
			a.Holds, a.Evidence = true, admitted(c)
			return a, nil
		}
		a.Evidence = server.Diff(server.Change{Before: live, After: table.Want()})
		if live == "" {
			a.Evidence = "there is no " + table.Name()
		}
		return a, nil
	},
}

// admitted says in a line what a policy admits.
func admitted(c server.Config) string {
	p, err := firewall.New(c)
	if err != nil {
		return err.Error()
	}
	var said []string
	for _, r := range p.In {
		from := "anywhere"
		if r.Peer.IsValid() {
			from = r.Peer.String()
		}
		ports := fmt.Sprint(r.First)
		if r.Last != r.First {
			ports += fmt.Sprintf("-%d", r.Last)
		}
		said = append(said, fmt.Sprintf("%s %s from %s", r.Protocol, ports, from))
	}
	return "admitted: " + strings.Join(said, ", ")
}

// comesBack is what systemd will do at the next boot and after the next
// restart of nftables.service.
var comesBack = server.Proof{
	What: "the table is loaded at boot, and again when nftables.service has erased it",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		if !firewall.On(c) {
			return server.Answer{}, errProvider
		}
		a := server.Answer{Holds: true, Command: "systemctl show -p LoadState,UnitFileState,DropInPaths,NeedDaemonReload " + firewallUnit + " nftables.service"}
		var said []string
		for unit, needs := range map[string][]string{
			firewallUnit:       {"LoadState=loaded", "UnitFileState=enabled", "NeedDaemonReload=no"},
			"nftables.service": {"LoadState=loaded", "DropInPaths=" + firewallDropIn, "NeedDaemonReload=no"},
		} {
			out, err := r.Output(ctx, "systemctl", "show", "--property=LoadState,UnitFileState,DropInPaths,NeedDaemonReload", unit)
			if err != nil {
				return a, err
			}
			for _, need := range needs {
				name, value, _ := strings.Cut(need, "=")
				i := strings.Index("\n"+out, "\n"+name+"=")
				line, _, _ := strings.Cut(out[max(i, 0):], "\n")
				if i < 0 || !slices.Contains(strings.Fields(strings.TrimPrefix(line, name+"=")), value) {
					a.Holds = false
				}
			}
			said = append(said, unit+": "+strings.Join(strings.Fields(out), " "))
		}
		slices.Sort(said)
		a.Evidence = strings.Join(said, "; ")
		return a, nil
	},
}
