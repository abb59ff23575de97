//go:build linux

package machine_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/machine"
)

// inventory is every path below dirs with what it is.
func inventory(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			what := fmt.Sprint(info.Mode(), st.Uid, st.Gid, st.Ino, st.Mtim, st.Ctim)
			if info.Mode().IsRegular() {
				content, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				what += fmt.Sprintf(" %x", sha256.Sum256(content))
			}
			all[path] = what
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func compare(t *testing.T, before, after map[string]string) {
	t.Helper()
	for path, what := range before {
		if after[path] != what {
			t.Errorf("%s was changed: %s, was %s", path, after[path], what)
		}
	}
	for path, what := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s is new: %s", path, what)
		}
	}
}

// TestToolsInWorld runs the tools that the kinds of resources need.
func TestToolsInWorld(t *testing.T) {
	needRoot(t)
	watched := []string{"/etc", "/home", "/var/lib/pam", "/var/mail", "/usr/share/pam-configs", "/run/sudo", "/run/faillock"}
	watched = slices.DeleteFunc(watched, func(dir string) bool { _, err := os.Stat(dir); return err != nil })
	before := inventory(t, watched...)
	ways := map[string]func(context.Context) (*machine.World, error){
		"overlay": func(ctx context.Context) (*machine.World, error) {
			return machine.New().Enter(ctx, machine.Options{})
		},
		"copy": func(ctx context.Context) (*machine.World, error) {
			return machine.New().EnterByCopy(ctx, machine.MaxCopy)
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			w, err := way(t.Context())
			if err != nil && name == "copy" && os.Getenv(onServer) == "" {
				// People keep more in their homes than a fresh server does.
				t.Logf("%v; TestOnServers runs this", err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			useTools(t, w)
		})
	}
	compare(t, before, inventory(t, watched...))
}

func useTools(t *testing.T, w *machine.World) {
	const name, strong = "hfworld", "Kj7#vuWq2!xRt9"
	script(t, w, "", "useradd --create-home --shell /bin/bash --groups sudo "+name)
	e, err := w.Read(t.Context(), "/home/"+name+"/.bashrc")
	if err != nil || e.Owner != name || e.Group != name {
		t.Errorf("a file of the new account: %+v, %v", e, err)
	}
	script(t, w, name+":"+strong+"\n", "chpasswd")
	if out := script(t, w, "", "getent shadow "+name); !strings.Contains(out, ":$y$") {
		t.Errorf("the password was not set: %s", out)
	}
	script(t, w, "", "visudo -c; sshd -t; getent group sudo | grep "+name)
	if out := script(t, w, "", "sshd -T -C user="+name+",host=h,addr=192.0.2.1"); !strings.Contains(out, "passwordauthentication ") {
		t.Errorf("sshd -T: %s", out)
	}
	drop := server.Entry{Mode: 0o644, Owner: "root", Group: "root", Content: "PasswordAuthentication no\n"}
	if err := w.Write(t.Context(), "/etc/ssh/sshd_config.d/00-test.conf", drop); err != nil {
		t.Fatal(err)
	}
	if out := script(t, w, "", "sshd -T"); !strings.Contains(out, "passwordauthentication no") {
		t.Errorf("sshd -T does not see the drop-in: %s", out)
	}
	profile := server.Entry{Mode: 0o644, Owner: "root", Group: "root", Content: "Name: test\nDefault: no\nPriority: 1000\n" +
		"Auth-Type: Primary\nAuth:\n\t[default=ignore] pam_permit.so # by the test\n"}
	if err := w.Write(t.Context(), "/usr/share/pam-configs/hftest", profile); err != nil {
		t.Fatal(err)
	}
	script(t, w, "", "DEBIAN_FRONTEND=noninteractive pam-auth-update --package --enable hftest")
	if out := script(t, w, "", "cat /etc/pam.d/common-auth /var/lib/pam/auth"); strings.Count(out, "by the test") != 2 {
		t.Errorf("pam-auth-update did not enable the profile: %s", out)
	}
	// Not every machine has the module; the lab's servers of TestOnServers do.
	if _, err := os.Stat("/usr/share/pam-configs/pwquality"); err == nil {
		const weak = "abc"
		rules := server.Entry{Mode: 0o644, Owner: "root", Group: "root", Content: "enforce_for_root\ndictcheck = 0\n"}
		script(t, w, "", "mkdir -p /etc/security/pwquality.conf.d")
		if err := w.Write(t.Context(), "/etc/security/pwquality.conf.d/test.conf", rules); err != nil {
			t.Fatal(err)
		}
		if err := w.Run(t.Context(), name+":"+strong+"\n", "chpasswd"); err != nil {
			t.Errorf("a strong password was refused: %v", err)
		}
		if err := w.Run(t.Context(), name+":"+weak+"\n", "chpasswd"); err == nil {
			t.Error("a weak password was accepted")
		}
	} else if os.Getenv(onServer) != "" {
		t.Error("libpam-pwquality is not installed")
	}
	script(t, w, "", "! touch /usr/bin/x 2>/dev/null; ! sysctl -qw kernel.printk=1 2>/dev/null; touch /tmp/x /var/tmp/x /dev/shm/x")
	if err := w.Run(t.Context(), "", "date", "-s", "2001-01-01"); !errors.Is(err, machine.ErrNotInWorld) {
		t.Errorf("date: %v", err)
	}
	if _, err := w.Output(t.Context(), "sh", "-c", "date -s 2001-01-01"); err == nil {
		t.Error("the clock was set")
	}
}

func TestTooMuchToCopy(t *testing.T) {
	needRoot(t)
	w, err := machine.New().EnterByCopy(t.Context(), 1000)
	if err == nil {
		w.Close()
		t.Fatal("more was copied than is allowed")
	}
	for _, part := range []string{"/etc", "would have to be copied", "copies are wanted"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}
