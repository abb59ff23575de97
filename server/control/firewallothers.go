package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/firewall"
	"github.com/holdfast-security/holdfast/server/resource"
)

// A rival is another firewall of the system.
type rival struct {
	// name is what people call it, unit what starts it.
	name, unit string
}

func rivals() []rival {
	return []rival{
		{name: "ufw", unit: "ufw.service"},
		{name: "firewalld", unit: "firewalld.service"},
		{name: "iptables-persistent", unit: "netfilter-persistent.service"},
		{name: "ferm", unit: "ferm.service"},
		{name: "shorewall", unit: "shorewall.service"},
	}
}

// rivalsInUse returns those that filter now or will at the next boot.
func rivalsInUse(ctx context.Context, r server.Reader) ([]rival, error) {
	var found []rival
	for _, one := range rivals() {
		out, err := r.Output(ctx, "systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", one.unit)
		if err != nil {
			return nil, err
		}
		lines := strings.Fields(out)
		in := func(line string) bool {
			for _, l := range lines {
				if l == line {
					return true
				}
			}
			return false
		}
		if !in("LoadState=loaded") || !in("ActiveState=active") && !in("UnitFileState=enabled") {
			continue
		}
		if one.name == "ufw" {
			on, err := ufwEnabled(ctx, r)
			if err != nil {
				return nil, err
			}
			if !on {
				continue
			}
		}
		found = append(found, one)
	}
	return found, nil
}

// ufwEnabled reports whether ufw does anything when its unit starts: the unit
// runs as soon as the package is installed.
func ufwEnabled(ctx context.Context, r server.Reader) (bool, error) {
	e, err := r.Read(ctx, "/etc/ufw/ufw.conf")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(e.Content) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && name == "ENABLED" {
			return strings.EqualFold(strings.Trim(value, `"'`), "yes"), nil
		}
	}
	return false, nil
}

// A RivalError says that another firewall is in use.
type RivalError struct {
	// Names are those of the firewalls.
	Names []string
}

// Error names them.
func (e *RivalError) Error() string {
	return fmt.Sprintf("%s filters packets here, and the site file does not say firewall: take-over", strings.Join(e.Names, " and "))
}

func wantOneFirewall(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
	if !firewall.On(c) {
		return nil, nil
	}
	if c.Firewall.Filter != server.FilterTakeOver {
		found, err := rivalsInUse(ctx, r)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		refused := &RivalError{}
		for _, one := range found {
			refused.Names = append(refused.Names, one.name)
		}
		return nil, refused
	}
	// What is wanted must not depend on what was applied: once it is off, it is
	// still to be off.
	var all []server.Resource
	for _, one := range rivals() {
		if one.name == "ufw" {
			if on, err := ufwEnabled(ctx, r); err != nil || !on {
				if err != nil {
					return nil, err
				}
				continue
			}
		}
		all = append(all, resource.Unit{Unit: one.unit})
	}
	return all, nil
}

// noOtherFirewall is what systemd says of the others.
var noOtherFirewall = server.Proof{
	What: "no other firewall of the system is in use",
	Ask: func(ctx context.Context, r server.Reader, c server.Config) (server.Answer, error) {
		a := server.Answer{Holds: true, Evidence: "none is enabled or running"}
		var units []string
		for _, one := range rivals() {
			units = append(units, one.unit)
		}
		a.Command = "systemctl is-enabled " + strings.Join(units, " ")
		if !firewall.On(c) {
			a.Evidence = "not applicable: the hosting provider filters"
			return a, nil
		}
		found, err := rivalsInUse(ctx, r)
		if err != nil {
			return a, err
		}
		if len(found) == 0 {
			return a, nil
		}
		var said []string
		for _, one := range found {
			said = append(said, one.name+" is in use ("+one.unit+")")
		}
		a.Holds, a.Evidence = false, strings.Join(said, "; ")
		return a, nil
	},
}
