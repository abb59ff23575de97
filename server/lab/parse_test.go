package lab_test

import (
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/lab"
)

const printedURIs = `'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_debian_dists_bookworm_InRelease 0 
'http://mirror.example/debian/dists/bookworm-updates/InRelease' mirror.example_debian_dists_bookworm-updates_InRelease 0 
'http://security.example/debian-security/dists/bookworm-security/InRelease' x 0 
'https://packages.example.org/apt/dists/bookworm/InRelease' y 0 
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' z 0 
`

func TestParseSources(t *testing.T) {
	debian := lab.Sources{Main: "http://mirror.example/debian", Security: "http://security.example/debian-security"}
	foreignFirst := "'https://packages.example.org/apt/dists/bookworm/InRelease' y 0\n" + printedURIs
	for name, uris := range map[string]string{"usual": printedURIs, "another vendor first": foreignFirst} {
		got, err := lab.ParseSources(uris)
		if err != nil || got != debian {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, debian)
		}
	}
	for name, uris := range map[string]string{
		"nothing":     "",
		"no security": strings.ReplaceAll(printedURIs, "-security", "-backports"),
		"another system": "'http://archive.ubuntu.com/ubuntu/dists/noble/InRelease' a 0\n" +
			"'http://security.ubuntu.com/ubuntu/dists/noble-security/InRelease' b 0\n",
	} {
		if got, err := lab.ParseSources(uris); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add(printedURIs)
	f.Add("'http://x/debian/dists/trixie/InRelease' '")
	f.Add("'/dists/trixie/InRelease'\n'/dists/trixie-security/InRelease'")
	f.Fuzz(func(t *testing.T, uris string) {
		s, err := lab.ParseSources(uris)
		if err != nil {
			return
		}
		for _, archive := range []string{s.Main, s.Security} {
			// What ends in a sources file must not be able to add a line to it.
			if archive == "" || strings.ContainsAny(archive, " \t\r\n'") || !strings.Contains(uris, archive+"/dists/") {
				t.Errorf("archive %q from %q", archive, uris)
			}
		}
	})
}

func TestParseMountInfo(t *testing.T) {
	points := lab.ParseMountInfo(`36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
37 35 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup rw
nonsense
`)
	var got []string
	for _, p := range points {
		got = append(got, p.String())
	}
	if want := "/mnt 2 ext3|/sys/fs/cgroup cgroup2"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
