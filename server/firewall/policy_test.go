package firewall_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/firewall"
)

func config(change ...func(*server.Config)) server.Config {
	c := server.Config{
		Site: "shop", Server: "app-1", Port: 22, Roles: []server.Role{server.Application},
		Firewall: server.Firewall{
			Direct: true, ApplicationPorts: []int{80, 443, 3000, 3003}, DatabasePorts: []int{3306},
			Redirects: []server.Redirect{{From: 80, To: 3000}, {From: 443, To: 3003}},
		},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func role(roles ...server.Role) func(*server.Config) {
	return func(c *server.Config) { c.Roles = roles }
}

func behind(jump string) func(*server.Config) {
	return func(c *server.Config) { c.Firewall.Direct, c.Firewall.Jump = false, []string{jump} }
}

func with(f func(*server.Firewall)) func(*server.Config) {
	return func(c *server.Config) { f(&c.Firewall) }
}

const (
	app      = "10.0.0.5"
	database = "10.0.0.6"
	jump     = "10.0.0.4"
	office   = "198.51.100.7"
	stranger = "203.0.113.9"
)

func TestPolicy(t *testing.T) {
	site := with(func(f *server.Firewall) { f.Applications, f.Databases = []string{app}, []string{database} })
	admins := with(func(f *server.Firewall) { f.AdminNetworks = []string{"198.51.100.0/24", "2001:db8:a::/48"} })
	tests := []struct {
		name string
		c    server.Config
		want string // who reaches what
	}{
		{"an application server", config(), "everybody: 22 80 443 3000 3003"},
		{"with admin networks", config(admins), "office: 22 80 443 3000 3003; others: 80 443 3000 3003"},
		{"a database server", config(role(server.Database), behind(jump), site), "app: 22 3306; jump: 22"},
		{"a database server reached directly", config(role(server.Database), site), "app: 22 3306; others: 22"},
		{"a database server reached directly by admins", config(role(server.Database), site, admins), "app: 22 3306; office: 22"},
		{"a backup server", config(role(server.Backup), behind(jump), site), "database: 22; jump: 22"},
		{"all in one", config(role(server.Application, server.Database, server.Backup), admins), "office: 22 80 443 3000 3003; others: 80 443 3000 3003"},
		{"more rules", config(role(server.Database), behind(jump), site, with(func(f *server.Firewall) {
			f.Rules = []server.PacketRule{{Protocol: "tcp", First: 9100, Last: 9101, Peers: []string{app}}, {Protocol: "udp", First: 53, Last: 53}}
		})), "app: 22 3306 9100 9101 udp 53; jump: 22 udp 53; others: udp 53"},
		{"the break-glass key's networks", config(admins, func(c *server.Config) {
			c.BreakGlass = server.BreakGlass{Key: "key", From: []string{database + "/32"}}
		}), "database: 22 80 443 3000 3003; office: 22 80 443 3000 3003; others: 80 443 3000 3003"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := firewall.New(tt.c)
			if err != nil {
				t.Fatal(err)
			}
			if got := reach(p); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// reach says who reaches what, in the order of names; who reaches as much as
// others is not named.
func reach(p firewall.Policy) string {
	ports := func(from string) string {
		var all []string
		for _, protocol := range []string{"tcp", "udp"} {
			for port := 1; port < 10000; port++ {
				if p.Admits(protocol, uint16(port), netip.MustParseAddr(from)) {
					all = append(all, strings.TrimPrefix(fmt.Sprint(protocol, " ", port), "tcp "))
				}
			}
		}
		return strings.Join(all, " ")
	}
	others := ports(stranger)
	var all []string
	for _, who := range []struct{ name, address string }{{"app", app}, {"database", database}, {"jump", jump}, {"office", office}} {
		if got := ports(who.address); got != others {
			all = append(all, who.name+": "+got)
		}
	}
	if len(all) == 0 {
		return "everybody: " + others
	}
	if others != "" {
		all = append(all, "others: "+others)
	}
	return strings.Join(all, "; ")
}

func TestRefusals(t *testing.T) {
	for want, c := range map[string]server.Config{
		"nobody could reach":         config(role(server.Database), with(func(f *server.Firewall) { f.Direct = false })),
		"neither an address":         config(with(func(f *server.Firewall) { f.AdminNetworks = []string{"office"} })),
		"IPv4 network written as":    config(with(func(f *server.Firewall) { f.AdminNetworks = []string{"::ffff:10.0.0.0/104"} })),
		"address with a zone":        config(behind("fe80::1%eth0")),
		"is no range":                config(with(func(f *server.Firewall) { f.Rules = []server.PacketRule{{Protocol: "tcp", First: 9, Last: 8}} })),
		"is no protocol":             config(with(func(f *server.Firewall) { f.Rules = []server.PacketRule{{Protocol: "sctp", First: 9, Last: 9}} })),
		"70000 is no port":           config(func(c *server.Config) { c.Port = 70000 }),
		"0 to 0 is no range of port": config(with(func(f *server.Firewall) { f.ApplicationPorts = []int{0} })),
	} {
		if p, err := firewall.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v; want %q", p, err, want)
		}
	}
}

func FuzzParsePeer(f *testing.F) {
	for _, seed := range []string{"10.0.0.5", "10.0.0.5/24", "2001:db8::/32", "::ffff:10.0.0.5", "0.0.0.0/0", "fe80::1%eth0", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := firewall.ParsePeer(text)
		if err != nil {
			return
		}
		again, err := firewall.ParsePeer(p.String())
		if err != nil || again != p || p.Addr().Zone() != "" || p.Addr().Is4In6() {
			t.Errorf("%q is %v, and that is %v, %v", text, p, again, err)
		}
	})
}

// TestKernelShowsTheTable loads tables and reads them back: what the kernel
// shows must be what was written, byte for byte, or a second plan would not be
// empty. The tests of server/control do the same on every supported release.
func TestKernelShowsTheTable(t *testing.T) {
	if runtime.GOOS != "linux" || exec.Command("unshare", "-n", "nft", "list", "tables").Run() != nil {
		t.Log("nftables cannot be tried here; the tests of server/control need it")
		return
	}
	for _, c := range []server.Config{
		config(), config(role(server.Database), behind(jump)), config(with(everything)), config(role(server.Application, server.Database), with(everything)),
	} {
		p, err := firewall.New(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, docker := range []bool{false, true} {
			table := p.Table(docker)
			cmd := exec.CommandContext(t.Context(), "unshare", "-n", "sh", "-ec", "nft -f -; nft -s list table inet holdfast")
			cmd.Stdin = strings.NewReader(table)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s\n%s", err, out, table)
			}
			got := strings.ReplaceAll(string(out), "tcp flags != syn / fin,syn,rst,ack", "tcp flags & (fin | syn | rst | ack) != syn")
			if got != table {
				t.Errorf("%s\n", diff(table, got))
			}
		}
	}
}

// everything asks for all that a site can ask for.
func everything(f *server.Firewall) {
	f.Applications, f.Databases = []string{app, "2001:db8::5"}, []string{database}
	f.AdminNetworks = []string{"198.51.100.0/24", "198.51.101.0/24", "2001:db8:a::/48", "0.0.0.0/0", "::/0"}
	f.Rules = []server.PacketRule{
		{Protocol: "tcp", First: 8000, Last: 8010, Peers: []string{"10.0.0.0/8", "fe80::/10"}}, {Protocol: "udp", First: 1, Last: 65535},
		{Protocol: "udp", First: 51820, Last: 51820, Peers: []string{"::1", "0.0.0.0/1"}},
	}
	f.Servers = []string{app, database}
	f.Confined = true
	f.Egress = []server.PacketRule{{Protocol: "tcp", First: 443, Last: 443}, {Protocol: "udp", First: 53, Last: 53, Peers: []string{"9.9.9.9", "2620:fe::fe"}}}
}

func diff(want, got string) string {
	var b strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, l := range w {
		if !slices.Contains(g, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	return b.String()
}
