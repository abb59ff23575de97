package resource_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
)

// Every kind can be shown, and names that others chose do nothing in a shell.
func TestShow(t *testing.T) {
	const odd = "/tmp/it's $(touch /x) & ;"
	for _, r := range []server.Shower{
		resource.File{Path: odd}, resource.Absent{Path: odd}, resource.Link{Path: odd}, resource.Dir{Path: odd}, resource.Program{Path: odd},
		resource.Package{Package: odd}, resource.Account{Account: odd}, resource.Password{Account: odd}, resource.Aging{Account: odd},
		resource.Unit{Unit: odd}, resource.Daemon{Unit: odd}, resource.Table{Family: odd, Table: odd}, resource.Loaded{Unit: odd}, resource.Started{Unit: odd},
	} {
		show := r.Show()
		if strings.Contains(strings.ReplaceAll(show, `'/tmp/it'\''s $(touch /x) & ;'`, ""), "touch") {
			t.Errorf("%T: %s", r, show)
		}
		if out, err := exec.CommandContext(t.Context(), "bash", "-nc", show).CombinedOutput(); err != nil {
			t.Errorf("%T: %s: %s", r, show, out)
		}
	}
	if got := (resource.File{Path: "/etc/ssh/sshd_config"}).Show(); got != "ls -l /etc/ssh/sshd_config && cat /etc/ssh/sshd_config" {
		t.Error(got)
	}
	if (resource.PAM{}).Show() == "" {
		t.Error("PAM")
	}
}
