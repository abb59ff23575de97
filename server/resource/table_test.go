package resource_test

import (
	"io/fs"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

// emptyTable is a table as nft lists it.
const emptyTable = "table inet test {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n}\n"

const fullTable = `table inet test {
	set banned {
		type ipv4_addr
		flags timeout
	}

	chain input {
		type filter hook input priority filter; policy drop;
		iifname "lo" accept
		tcp flags & (fin | syn | rst | ack) != syn drop
	}
}
`

// withElements is fullTable as nft 1.0.6 lists it while somebody is banned.
const withElements = `table inet test {
	set banned {
		type ipv4_addr
		flags timeout
		elements = { 192.0.2.1 timeout 1h expires 59m,
			     192.0.2.2 timeout 1h expires 58m }
	}

	chain input {
		type filter hook input priority filter; policy drop;
		iifname "lo" accept
		tcp flags != syn / fin,syn,rst,ack drop
	}
}
`

func TestTable(t *testing.T) {
	table := resource.Table{Family: "inet", Table: "test", Rules: fullTable}
	foreign := func(h *hosttest.Host) { h.AddTable("ip filter", "table ip filter {\n}\n") }
	live := func(rules string) func(*hosttest.Host) {
		return func(h *hosttest.Host) { h.AddTable("inet test", rules) }
	}
	shows := func(want string) func(testing.TB, *hosttest.Host) {
		return func(t testing.TB, h *hosttest.Host) {
			if got := h.Table("inet test"); got != want {
				t.Errorf("the table is %q, want %q", got, want)
			}
		}
	}
	drift := live("table inet test {\n\tchain other {\n\t}\n}\n")
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "new", Resource: table, Host: on(), Drift: drift, Shows: shows(fullTable)},
		hosttest.Case{Name: "beside others", Resource: table, Host: on(foreign), Drift: drift},
		hosttest.Case{Name: "over another", Resource: table, Host: on(live(emptyTable)), Drift: drift, Shows: shows(fullTable)},
		hosttest.Case{Name: "away", Resource: resource.Table{Family: "inet", Table: "test"}, Host: on(live(fullTable)), Drift: drift, Shows: shows("")},
	)
}

func TestTableLeavesElements(t *testing.T) {
	h := hosttest.Debian(t)
	h.AddTable("inet test", withElements)
	c, err := server.Check(t.Context(), h, resource.Table{Family: "inet", Table: "test", Rules: fullTable})
	if err != nil || c.Needed() {
		t.Errorf("with elements in a set: %s, %v", server.Diff(c), err)
	}
}

func TestTableRefusesNames(t *testing.T) {
	for _, name := range []string{"", "a b", "a;flush ruleset", "-f"} {
		if _, err := (resource.Table{Family: "inet", Table: name}).Get(t.Context(), hosttest.Debian(t)); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}

func FuzzNormalTable(f *testing.F) {
	f.Add(fullTable)
	f.Add(withElements)
	f.Add("elements = {")
	f.Fuzz(func(t *testing.T, text string) {
		once := resource.NormalTable(text)
		if again := resource.NormalTable(once); again != once {
			t.Errorf("%q became %q and then %q", text, once, again)
		}
	})
}

func TestLink(t *testing.T) {
	const path = "/etc/systemd/system/test.service"
	link := resource.Link{Path: path, Target: "../other.service"}
	dir := entry("/etc/systemd/system", server.Entry{Mode: fs.ModeDir | 0o755, Owner: "root", Group: "root"})
	drift := put(path, "somebody's\n")
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "new", Resource: link, Host: on(dir), Drift: drift},
		hosttest.Case{Name: "over a file", Resource: link, Host: on(put(path, "[Unit]\n")), Drift: drift},
		hosttest.Case{Name: "over another", Resource: link, Host: on(entry(path, server.Entry{
			Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: "/dev/null",
		})), Drift: drift},
	)
}

func TestLoaded(t *testing.T) {
	const dir = "/etc/systemd/system/nftables.service.d"
	unit := resource.Loaded{Unit: "nftables.service", Files: []string{dir + "/*.conf"}}
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "new drop-in", Resource: unit, Host: on(put(dir+"/holdfast.conf", "[Service]\n")), Shows: func(t testing.TB, h *hosttest.Host) {
			if out, err := h.Output(t.Context(), "systemctl", "show", "--property=NeedDaemonReload", "nftables.service"); err != nil || out != "NeedDaemonReload=no\n" {
				t.Errorf("systemd says %q, %v", out, err)
			}
		}},
	)
}

func TestStarted(t *testing.T) {
	const link = "/etc/systemd/system/timers.target.wants/test.timer"
	unit := resource.Started{Unit: "nftables.service", Link: link}
	active := func(want string) func(testing.TB, *hosttest.Host) {
		return func(t testing.TB, h *hosttest.Host) {
			if out, err := h.Output(t.Context(), "systemctl", "show", "--property=ActiveState", "nftables.service"); err != nil || out != "ActiveState="+want+"\n" {
				t.Errorf("systemd says %q, %v", out, err)
			}
		}
	}
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "wanted and not running", Resource: unit, Host: on(entry(link, server.Entry{
			Mode: fs.ModeSymlink | 0o777, Owner: "root", Group: "root", Content: "../test.timer",
		})), Shows: active("active")},
		hosttest.Case{Name: "running and not wanted", Resource: unit, Host: on(func(h *hosttest.Host) {
			h.AddUnit("nftables.service", "disabled", "active")
		}), Shows: active("inactive")},
	)
}
