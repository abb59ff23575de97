package machine_test

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/machine"
)

// described is a machine that is known by its files and by what commands print.
type described struct {
	files    map[string]string
	commands map[string]string
}

func (d described) Read(_ context.Context, path string) (server.Entry, error) {
	content, ok := d.files[path]
	if !ok {
		return server.Entry{}, &fs.PathError{Op: "read", Path: path, Err: fs.ErrNotExist}
	}
	return server.Entry{Owner: "root", Group: "root", Content: content}, nil
}

func (d described) Glob(context.Context, string) ([]string, error) {
	return nil, errors.New("not asked for")
}

func (d described) Output(_ context.Context, argv ...string) (string, error) {
	out, ok := d.commands[path.Base(argv[0])]
	if !ok {
		return "", &server.CommandError{Argv: argv, Exit: -1, Err: errors.New("not there")}
	}
	if failed, ok := strings.CutPrefix(out, "1:"); ok {
		return "", &server.CommandError{Argv: argv, Exit: 1, Output: failed}
	}
	return out, nil
}

const bookworm = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian
# a comment="x"
`

func TestReadFacts(t *testing.T) {
	packages := "openssh-server installed 1:9.2p1-2+deb12u10\nsystemd installed 252.39-1~deb12u2\n"
	tests := []struct {
		name     string
		release  string
		arch     string
		packages string
		virt     string
		want     machine.Facts
		refused  string
	}{
		{
			name: "Debian 12", release: bookworm, arch: "amd64\n", packages: packages, virt: "1:none\n",
			want: machine.Facts{
				OS: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)", Arch: "amd64",
				OpenSSH: "9.2p1", Systemd: "252.39", Booted: true, Virtualization: "none", Tested: true,
			},
		},
		{
			name: "without sshd", release: "ID=ubuntu\nVERSION_ID='24.04'\n", arch: "arm64\n", virt: "kvm\n",
			packages: "1:dpkg-query: no packages found matching openssh-server\nsystemd installed 255.4-1ubuntu8\n",
			want: machine.Facts{
				OS: "ubuntu", Version: "24.04", Name: "ubuntu 24.04", Arch: "arm64",
				Systemd: "255.4", Booted: true, Virtualization: "kvm",
			},
		},
		{
			name: "removed, without systemd", release: bookworm, arch: "amd64\n",
			packages: "openssh-server config-files 1:9.2p1-2\nsystemd not-installed \n",
			want: machine.Facts{
				OS: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)", Arch: "amd64", Booted: true, Tested: true,
			},
		},
		{name: "Fedora", release: "ID=fedora\nVERSION_ID=41\nPRETTY_NAME=\"Fedora Linux 41\"\n", refused: "Fedora Linux 41"},
		{name: "Debian 11", release: "ID=debian\nVERSION_ID=11\n", refused: "debian 11"},
		{name: "derived from Debian", release: "ID=kali\nID_LIKE=debian\nVERSION_ID=12\n", refused: "kali 12"},
		{name: "Debian unstable", release: "ID=debian\n", refused: "debian"},
		{name: "nameless", release: "", refused: "a system without a name"},
		{name: "32 bit", release: bookworm, arch: "i386\n", refused: "the architecture i386"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := described{
				files: map[string]string{"/usr/lib/os-release": tt.release, "/run/systemd/system": ""},
				commands: map[string]string{
					"dpkg": tt.arch, "dpkg-query": tt.packages, "systemd-detect-virt": tt.virt,
				},
			}
			got, err := machine.ReadFacts(t.Context(), d)
			if tt.refused != "" {
				unsupported := (*machine.UnsupportedError)(nil)
				if !errors.As(err, &unsupported) || unsupported.Found != tt.refused {
					t.Fatalf("%v, want that %s is not supported", err, tt.refused)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("%+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestFactsThatCannotBeRead(t *testing.T) {
	d := described{files: map[string]string{"/usr/lib/os-release": bookworm}, commands: map[string]string{"dpkg": "amd64\n"}}
	_, err := machine.ReadFacts(t.Context(), d)
	if unsupported := (*machine.UnsupportedError)(nil); err == nil || errors.As(err, &unsupported) {
		t.Errorf("%v, want an error that does not call the machine unsupported", err)
	}
}
