package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// Facts are what has to be known of a machine before anything is asked of it.
type Facts struct {
	// OS is the system's identifier, such as "debian" (ID in os-release(5)).
	OS string `json:"os"`
	// Version is its version, such as "12" or "24.04".
	Version string `json:"version"`
	// Name is both, for people.
	Name string `json:"name"`
	// Arch is the architecture as Debian names it, such as "amd64".
	Arch string `json:"arch"`
	// OpenSSH is the upstream version of the package openssh-server, such as
	// "9.2p1"; empty if it is not installed.
	OpenSSH string `json:"openssh"`
	// Systemd is the upstream version of the package systemd, such as "252.39";
	// empty if it is not installed.
	Systemd string `json:"systemd"`
	// Booted says that systemd runs the machine. In many containers it does not.
	Booted bool `json:"booted"`
	// Virtualization is what systemd-detect-virt says: "none", a hypervisor such
	// as "kvm", or a container such as "systemd-nspawn"; empty without systemd.
	Virtualization string `json:"virtualization"`
	// Tested says that Holdfast is tested on this system. On others that it
	// supports it was built for what they are documented to have.
	Tested bool `json:"tested"`
}

// An UnsupportedError is a machine that Holdfast does not know. Nothing must be
// changed on it, and what an audit would say of it means nothing.
type UnsupportedError struct {
	// Found is what the machine is, for people.
	Found string
	// Supported is what Holdfast knows instead, for people.
	Supported string
}

// Error says what was found and what would be supported.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s is not supported, only %s", e.Found, e.Supported)
}

// A release is a system that is supported.
type release struct {
	os, version string
	tested      bool
}

func releases() []release {
	return []release{
		{"debian", "12", true},
		{"debian", "13", true},
		{"ubuntu", "22.04", false},
		{"ubuntu", "24.04", false},
		{"ubuntu", "26.04", false},
	}
}

// ReadFacts returns the facts about the machine that r shows. The error is an
// [*UnsupportedError] if its system or architecture is unknown; the facts that
// were read until then are returned with it.
func ReadFacts(ctx context.Context, r server.Reader) (Facts, error) {
	f, err := readSystem(ctx, r)
	if err != nil {
		return f, err
	}
	arch, err := r.Output(ctx, "dpkg", "--print-architecture")
	if err != nil {
		return f, fmt.Errorf("reading the architecture: %w", err)
	}
	f.Arch = strings.TrimSpace(arch)
	if f.Arch != "amd64" && f.Arch != "arm64" {
		return f, &UnsupportedError{Found: "the architecture " + f.Arch, Supported: "amd64 and arm64"}
	}
	versions, err := packageVersions(ctx, r, "openssh-server", "systemd")
	if err != nil {
		return f, err
	}
	f.OpenSSH, f.Systemd = upstream(versions["openssh-server"]), upstream(versions["systemd"])
	// As sd_booted(3) has it.
	_, err = r.Read(ctx, "/run/systemd/system")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, fmt.Errorf("reading what runs the machine: %w", err)
	}
	f.Booted = err == nil
	if f.Systemd == "" {
		return f, nil
	}
	f.Virtualization, err = virtualization(ctx, r)
	return f, err
}

func readSystem(ctx context.Context, r server.Reader) (Facts, error) {
	// /etc/os-release is a link to the first.
	e, err := r.Read(ctx, "/usr/lib/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		e, err = r.Read(ctx, "/etc/os-release")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Facts{}, fmt.Errorf("reading the system's name: %w", err)
	}
	values := osRelease(e.Content)
	f := Facts{OS: values["ID"], Version: values["VERSION_ID"], Name: values["PRETTY_NAME"]}
	if f.Name == "" {
		f.Name = strings.TrimSpace(f.OS + " " + f.Version)
	}
	i := slices.IndexFunc(releases(), func(r release) bool { return r.os == f.OS && r.version == f.Version })
	if i >= 0 {
		f.Tested = releases()[i].tested
		return f, nil
	}
	found := f.Name
	if found == "" {
		found = "a system without a name"
	}
	return f, &UnsupportedError{Found: found, Supported: "Debian 12 and 13, and Ubuntu 22.04, 24.04 and 26.04"}
}

// osRelease parses os-release(5): lines of NAME=value, where the value may be
// quoted as in a shell.
func osRelease(content string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(content) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		values[name] = unquote(value)
	}
	return values
}

func unquote(value string) string {
	if len(value) < 2 || value[0] != value[len(value)-1] {
		return value
	}
	inner := value[1 : len(value)-1]
	switch value[0] {
	case '\'':
		return inner
	case '"':
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`").Replace(inner)
	}
	return value
}

// packageVersions returns the versions of those packages that are installed.
func packageVersions(ctx context.Context, r server.Reader, names ...string) (map[string]string, error) {
	argv := append([]string{"dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status} ${Version}\n"}, names...)
	out, err := r.Output(ctx, argv...)
	if failed := (*server.CommandError)(nil); errors.As(err, &failed) && failed.Exit == 1 {
		// One of them was never heard of; the others are printed all the same.
		out, err = failed.Output, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading package versions: %w", err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) == 3 && slices.Contains(names, fields[0]) && fields[1] == "installed" {
			versions[fields[0]] = fields[2]
		}
	}
	return versions, nil
}

// upstream returns the upstream part of a package version
// [epoch:]upstream[-revision].
func upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	if i := strings.LastIndex(version, "-"); i >= 0 {
		version = version[:i]
	}
	return version
}

func virtualization(ctx context.Context, r server.Reader) (string, error) {
	out, err := r.Output(ctx, "systemd-detect-virt")
	if failed := (*server.CommandError)(nil); errors.As(err, &failed) && failed.Exit == 1 && failed.Output == "none\n" {
		out, err = failed.Output, nil // which it calls a failure
	}
	if err != nil {
		return "", fmt.Errorf("reading what the machine runs in: %w", err)
	}
	return strings.TrimSpace(out), nil
}
