package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Package is a Debian package that is installed, in whatever version. With it
// comes what it depends on and nothing that it merely recommends; undo purges
// exactly what came.
type Package struct {
	// Package is the package's name, without architecture or version.
	Package string `json:"package"`
}

const installed = "installed"

// Name returns "package NAME".
func (p Package) Name() string { return "package " + p.Package }

// Want returns "installed".
func (p Package) Want() server.State { return installed }

// Accepts reports whether s is that of an installed package, whatever came with
// it.
func (p Package) Accepts(s server.State) bool {
	first, _, _ := strings.Cut(string(s), "\n")
	return first == installed
}

// Install marks a Package as a [server.Installer].
func (p Package) Install() {}

// Get returns dpkg's word for the package, such as "installed" or
// "config-files", empty if dpkg knows nothing of it; and, if Set has installed
// it, one line "brought NAME" for each package that came with it.
//
// What would come is not part of the state before, because a stock server may
// have no package lists from which it could be told; see [Package.Brings].
func (p Package) Get(ctx context.Context, r server.Reader) (server.State, error) {
	all, err := packages(ctx, r)
	if err != nil {
		return "", err
	}
	status := all.status(p.Package)
	if status == absent {
		return "", nil
	}
	brought, _, err := p.brought(ctx, r)
	if err != nil {
		return "", err
	}
	if status == installed {
		for _, b := range brought {
			if b.Name != p.Package {
				status += "\nbrought " + b.Name
			}
		}
	}
	return server.State(status), nil
}

// A visitor is a package that came with an installation.
type visitor struct {
	Name string `json:"name"`
	// Was is dpkg's word for it before.
	Was string `json:"was"`
}

func (p Package) record() string { return "package-" + p.Package }

// brought returns what Set has brought, the package itself first.
func (p Package) brought(ctx context.Context, r server.Reader) ([]visitor, bool, error) {
	text, found, err := kept(ctx, r, p.record())
	if err != nil || !found {
		return nil, false, err
	}
	var all []visitor
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, false, fmt.Errorf("the record of what %s brought: %w", p.Package, err)
	}
	return all, true, nil
}

// Brings returns the names of the packages that an installation would bring, the
// package itself first, by the host's package lists. It fails with a
// [*ReplacesError] if it would remove or upgrade others.
func (p Package) Brings(ctx context.Context, r server.Reader) ([]string, error) {
	sim, err := simulate(ctx, r, "install", p.Package)
	if err != nil {
		return nil, err
	}
	if len(sim.removed)+len(sim.upgraded) > 0 {
		return nil, &ReplacesError{Package: p.Package, Removed: sim.removed, Upgraded: sim.upgraded}
	}
	names := slices.DeleteFunc(sim.installed, func(n string) bool { return n == p.Package })
	return append([]string{p.Package}, names...), nil
}

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// Set installs the package, or purges it with all that it brought.
func (p Package) Set(ctx context.Context, h server.Host, s server.State) error {
	if !packageName.MatchString(p.Package) {
		return fmt.Errorf("%q is no name for a package", p.Package)
	}
	ctx, cancel := context.WithTimeout(ctx, aptLimit)
	defer cancel()
	all, err := packages(ctx, h)
	if err != nil {
		return err
	}
	if left := all.unfinished(); len(left) > 0 {
		return &UnfinishedError{Packages: left}
	}
	if p.Accepts(s) {
		return p.install(ctx, h, all)
	}
	return p.purge(ctx, h, all)
}

// aptLimit is how long one installation may take, the wait for other package
// managers included.
const aptLimit = 15 * time.Minute

func (p Package) install(ctx context.Context, h server.Host, all dpkg) error {
	if all.status(p.Package) == installed {
		return nil
	}
	names, err := p.Brings(ctx, h)
	var failed *server.CommandError
	if errors.As(err, &failed) && failed.Err == nil {
		// A new server has no package lists, or old ones.
		if err := apt(ctx, h, "update"); err != nil {
			return err
		}
		names, err = p.Brings(ctx, h)
	}
	if err != nil {
		return err
	}
	// An earlier installation may have been half undone by hand.
	brought, _, err := p.brought(ctx, h)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(brought, func(v visitor) bool { return v.Name == name }) {
			brought = append(brought, visitor{Name: name, Was: all.status(name)})
		}
	}
	b, err := json.Marshal(brought)
	if err != nil {
		return err
	}
	if err := keep(ctx, h, p.record(), string(b)); err != nil {
		return err
	}
	install := []string{"install", "--no-install-recommends", "--no-remove", p.Package}
	err = apt(ctx, h, install...)
	if errors.As(err, &failed) && strings.Contains(failed.Output, "404") {
		// The lists name a version that the mirror has replaced.
		if err := apt(ctx, h, "update"); err != nil {
			return err
		}
		err = apt(ctx, h, install...)
	}
	return err
}

// purge puts back what install found: the package first, so that the host shows
// the earlier state from the first step on, then those of which only the
// configuration was there, then the rest.
func (p Package) purge(ctx context.Context, h server.Host, all dpkg) error {
	brought, found, err := p.brought(ctx, h)
	if err != nil || !found {
		return err
	}
	groups := [][]string{{p.Package}, nil, nil}
	verbs := []string{"purge", "remove", "purge"}
	for _, v := range brought {
		switch {
		case v.Name == p.Package && v.Was != absent:
			verbs[0] = "remove"
		case v.Name == p.Package:
		case v.Was != absent:
			groups[1] = append(groups[1], v.Name)
		default:
			groups[2] = append(groups[2], v.Name)
		}
	}
	if verbs[0] == "purge" && groups[1] == nil {
		groups[0], groups[2] = append(groups[0], groups[2]...), nil
	}
	for i, names := range groups {
		if err := p.purgeOne(ctx, h, all, verbs[i], names, brought); err != nil {
			return err
		}
		if all, err = packages(ctx, h); err != nil {
			return err
		}
		for _, v := range brought {
			if now := all.status(v.Name); slices.Contains(names, v.Name) && now != v.Was {
				return fmt.Errorf("package %s was to be %s again, but is %s", v.Name, v.Was, now)
			}
		}
	}
	return forget(ctx, h, p.record())
}

// purgeOne removes those of names that are there, and refuses if others would
// go with them.
func (p Package) purgeOne(ctx context.Context, h server.Host, all dpkg, verb string, names []string, ours []visitor) error {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		status := all.status(n)
		return status == absent || verb == "remove" && status != installed
	})
	if len(names) == 0 {
		return nil
	}
	sim, err := simulate(ctx, h, verb, names...)
	if err != nil {
		return err
	}
	foreign := slices.DeleteFunc(sim.removed, func(n string) bool {
		return slices.ContainsFunc(ours, func(v visitor) bool { return v.Name == n })
	})
	if added := append(sim.installed, sim.upgraded...); len(foreign)+len(added) > 0 {
		return &ReplacesError{Package: p.Package, Removed: foreign, Upgraded: added}
	}
	return apt(ctx, h, append([]string{verb}, names...)...)
}

// A ReplacesError says that a package was not installed or purged because other
// packages would be removed or upgraded with it. Nothing has changed.
type ReplacesError struct {
	Package           string
	Removed, Upgraded []string
}

// Error names the package and the others.
func (e *ReplacesError) Error() string {
	s := "package " + e.Package + " was left as it is"
	if len(e.Removed) > 0 {
		s += ", because it would remove " + strings.Join(e.Removed, ", ")
	}
	if len(e.Upgraded) > 0 {
		s += ", because it would install or upgrade " + strings.Join(e.Upgraded, ", ")
	}
	return s
}

// An UnfinishedError says that dpkg was interrupted and left packages half
// installed or half configured. Nothing has changed.
type UnfinishedError struct {
	// Packages are what dpkg says of each, such as "foo half-configured".
	Packages []string
}

// Error lists the packages.
func (e *UnfinishedError) Error() string {
	return "dpkg was interrupted and has left work undone: " + strings.Join(e.Packages, ", ")
}
