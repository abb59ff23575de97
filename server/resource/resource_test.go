package resource_test

import (
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

// codec is the way into journals and back.
var codec = hosttest.Codec{
	Encode: func(r server.Resource) ([]byte, error) {
		s, err := resource.Encode(r)
		if err != nil {
			return nil, err
		}
		return json.Marshal(s)
	},
	Decode: func(b []byte) (server.Resource, error) {
		var s resource.Spec
		if err := json.Unmarshal(b, &s); err != nil {
			return nil, err
		}
		return resource.Decode(s)
	},
}

// on returns a host like a new server after changes.
func on(changes ...func(h *hosttest.Host)) func(testing.TB) *hosttest.Host {
	return func(t testing.TB) *hosttest.Host {
		h := hosttest.Debian(t)
		for _, change := range changes {
			change(h)
		}
		return h
	}
}

func put(path, content string) func(*hosttest.Host) {
	return func(h *hosttest.Host) { h.Put(path, content) }
}

func entry(path string, e server.Entry) func(*hosttest.Host) {
	return func(h *hosttest.Host) { h.PutEntry(path, e) }
}

func TestFile(t *testing.T) {
	const path = "/etc/ssh/sshd_config.d/00-holdfast-keys.conf"
	file := resource.File{Path: path, Mode: 0o600, Content: "PasswordAuthentication no\n"}
	tested := file
	tested.Test = []string{"sshd", "-t", "-f"}
	good := func(h *hosttest.Host) { h.Handle("sshd", sshd) }
	odd := server.Entry{
		Mode: 0o751 | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky, Owner: "debian", Group: "12345",
		Xattrs: map[string]string{"user.a": "x\x00\xff", "user.b": ""}, Content: "\n\nno line break",
	}
	binary := server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: "\xff\xfe\x00\n\n"}
	link := server.Entry{Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: "../other"}
	drift := put(path, "Port 2222\n")
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "missing", Resource: file, Host: on(), Drift: drift},
		hosttest.Case{Name: "missing, with a test", Resource: tested, Host: on(good), Drift: drift},
		hosttest.Case{Name: "other content", Resource: tested, Host: on(good, put(path, "x")), Drift: drift},
		hosttest.Case{Name: "other mode", Resource: file, Host: on(put(path, file.Content)), Drift: drift},
		hosttest.Case{Name: "odd", Resource: file, Host: on(entry(path, odd)), Drift: drift},
		hosttest.Case{Name: "not text", Resource: tested, Host: on(good, entry(path, binary)), Drift: drift},
		hosttest.Case{Name: "link", Resource: file, Host: on(entry(path, link)), Drift: drift},
		hosttest.Case{Name: "empty and another's", Resource: resource.File{
			Path: path, Mode: 0o640 | fs.ModeSticky, Owner: "debian", Group: "sudo"}, Host: on(put(path, "x")), Drift: drift},
		hosttest.Case{Name: "absent", Resource: resource.Absent{Path: path}, Host: on(entry(path, odd)), Drift: drift},
		hosttest.Case{Name: "link absent", Resource: resource.Absent{Path: path}, Host: on(entry(path, link)), Drift: drift},
	)
}
