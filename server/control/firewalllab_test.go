package control_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
	"github.com/holdfast-security/holdfast/server/resource"
)

var firewallControls = []string{"one-firewall", "firewall"}

func firewallConfig() server.Config {
	return server.Config{
		Site: "lab", Server: "app-1", Port: 22, Roles: []server.Role{server.Application},
		Admins: []server.Admin{{Name: "anna", Keys: []string{adminKey}}},
		Firewall: server.Firewall{
			Direct: true, ApplicationPorts: []int{80, 443, 3000, 3003}, DatabasePorts: []int{3306},
			Redirects: []server.Redirect{{From: 80, To: 3000}, {From: 443, To: 3003}},
		},
	}
}

// A packetCase is a server whose packets are filtered in a way that is not ours.
type packetCase struct {
	name string
	// applied says that our firewall was there before the setup.
	applied bool
	// setup is a script for the server's shell that brings the state about, and
	// cleanup takes away what reset does not.
	setup, cleanup string
	// cause is what the audit must say before it is mended.
	cause string
	// refused is why apply must refuse and leave the server as it is; empty if it
	// mends it.
	refused string
	// config changes what is wanted; may be nil.
	config func(*server.Config)
	// then is a script that must succeed on the mended server.
	then string
	// anyOrder says that whoever makes the rules again does so in another order.
	anyOrder bool
}

// resetFirewall takes away all that a case may have left.
const resetFirewall = `
systemctl stop nftables.service; nft flush ruleset
rm -rf /etc/holdfast /etc/systemd/system/nftables.service.d /etc/systemd/system/holdfast-firewall.service /etc/systemd/system/sysinit.target.wants/holdfast-firewall.service
systemctl daemon-reload
`

// dockerRules are what Docker 28 leaves with a container that publishes port
// 8080, as iptables makes them.
const dockerRules = `nft -f - <<'END'
table ip nat {
	chain DOCKER {
		iifname "docker0" return
		iifname != "docker0" tcp dport 8080 dnat to 172.17.0.2:80
	}
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local jump DOCKER
	}
	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		oifname != "docker0" ip saddr 172.17.0.0/16 masquerade
	}
}
table ip filter {
	chain DOCKER {
		iifname != "docker0" oifname "docker0" ip daddr 172.17.0.2 tcp dport 80 accept
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		oifname "docker0" jump DOCKER
		iifname "docker0" accept
	}
}
END
`

func packetCases() []packetCase {
	takeOver := func(c *server.Config) { c.Firewall.Filter = server.FilterTakeOver }
	const none = "there is no nftables table inet holdfast"
	return []packetCase{
		{
			name: "open to all", setup: "true", cause: none,
			then: "nft list chain inet holdfast input | grep -q 'policy drop'; systemctl is-enabled holdfast-firewall.service",
		},
		{
			name: "IPv4 alone is filtered", cause: none,
			setup: "nft 'table ip guard { chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept; ct state established accept; }; }'",
			then:  "nft list table ip guard | grep -q 'policy drop'",
		},
		{name: "a rule by hand", applied: true, setup: "nft insert rule inet holdfast input tcp dport 9999 accept", cause: "tcp dport 9999 accept"},
		{name: "open by hand", applied: true, setup: "nft chain inet holdfast input '{ policy accept; }'", cause: "at the hook input our table does accept by default"},
		{name: "flushed", applied: true, setup: "nft flush ruleset", cause: none},
		{name: "half of it", applied: true, setup: "nft flush chain inet holdfast redirects; nft delete chain inet holdfast redirects", cause: "redirect to :3000"},
		{name: "an edited file", applied: true, setup: "sed -i s/3000/3001/ /etc/holdfast/nftables.conf", cause: "/etc/holdfast/nftables.conf is as wanted"},
		{
			name: "not loaded at boot", applied: true, cause: "sysinit.target.wants/holdfast-firewall.service is there",
			setup: "rm /etc/systemd/system/sysinit.target.wants/holdfast-firewall.service; systemctl daemon-reload",
		},
		{
			name: "a masked unit", applied: true, cause: "/etc/systemd/system/holdfast-firewall.service is as wanted",
			setup: "ln -sf /dev/null /etc/systemd/system/holdfast-firewall.service; systemctl daemon-reload",
		},
		{
			name: "systemd knows older files", applied: true, cause: "systemd nftables.service",
			setup: `systemctl start nftables.service; cd /etc/systemd/system/nftables.service.d; mv holdfast.conf /run/; systemctl daemon-reload; mv /run/holdfast.conf .`,
			then:  "systemctl show -p NeedDaemonReload nftables.service | grep -qx NeedDaemonReload=no",
		},
		{
			name: "Docker", setup: dockerRules, cause: none,
			then: `nft list chain inet holdfast forward | grep -q 'iifname "docker0" accept'; nft list table ip nat | grep -q 'dnat to 172.17.0.2:80'`,
		},
		{
			name: "rules of another role", applied: true, setup: "true", cause: "3306",
			config: func(c *server.Config) {
				c.Roles = []server.Role{server.Database}
				c.Firewall.Applications, c.Firewall.Jump, c.Firewall.Direct = []string{"10.0.0.5", "fd00::5"}, []string{"192.0.2.10"}, false
				c.Firewall.Confined, c.Firewall.Servers = true, []string{"10.0.0.5"}
				c.Firewall.Egress = []server.PacketRule{{Protocol: "tcp", First: 443, Last: 443}}
			},
			then: "nft list table inet holdfast | grep -q 'ip saddr 10.0.0.5 tcp dport 3306 accept'; ! nft list table inet holdfast | grep -q 'dport 80 '",
		},
		{
			name: "the provider filters", applied: true, setup: "true", cause: "nftables table inet holdfast is not there",
			config: func(c *server.Config) { c.Firewall.Filter = server.FilterProvider },
			then:   "! nft list table inet holdfast 2>/dev/null; ! systemctl cat holdfast-firewall.service 2>/dev/null",
		},
		{
			name: "ufw in use", cause: "ufw is in use", refused: "ufw filters packets here, and the site file does not say firewall: take-over",
			setup: "apt-get install -qqy --no-install-recommends ufw >/dev/null 2>&1; sed -i s/ENABLED=no/ENABLED=yes/ /etc/ufw/ufw.conf; systemctl restart ufw.service",
		},
		{
			name: "ufw to be taken over", cause: "ufw is in use", config: takeOver, anyOrder: true, setup: "systemctl restart ufw.service",
			then:    "! systemctl is-active ufw.service; ! systemctl is-enabled ufw.service; ! nft list ruleset | grep -q ufw-user-input",
			cleanup: "systemctl disable --now ufw.service >/dev/null 2>&1; apt-get purge -qqy ufw >/dev/null 2>&1; rm -rf /etc/ufw; nft flush ruleset",
		},
		{
			name: "saved rules of iptables", cause: "iptables-persistent is in use", refused: "iptables-persistent filters packets here",
			setup:   "printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/netfilter-persistent.service; systemctl daemon-reload; systemctl enable --now netfilter-persistent.service 2>/dev/null",
			cleanup: "systemctl disable --now netfilter-persistent.service 2>/dev/null; rm /etc/systemd/system/netfilter-persistent.service; systemctl daemon-reload",
		},
	}
}

func TestFirewallOnServers(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	for _, suite := range lab.Suites {
		t.Run(suite, func(t *testing.T) {
			s := labtest.Server(t, suite)
			copyBinary(t, s)
			t.Run("stock", func(t *testing.T) {
				mendFirewall(t, s, packetCase{cause: "nftables is not installed"})
			})
			shell(t, s, "apt-get install -qqy --no-install-recommends nftables >/dev/null 2>&1")
			for _, c := range packetCases() {
				t.Run(c.name, func(t *testing.T) {
					defer func() { shell(t, s, "set +e\n"+resetFirewall+c.cleanup) }()
					mendFirewall(t, s, c)
				})
			}
			t.Run("comes back", func(t *testing.T) { testComesBack(t, s) })
		})
	}
}

// rules are all rules of the kernel, without counters.
func rules(t *testing.T, s *lab.Server) string {
	return resource.NormalTable(shell(t, s, "command -v nft >/dev/null || exit 0; nft -s list ruleset"))
}

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// mendFirewall is the life of the controls on one server, files and kernel.
func mendFirewall(t *testing.T, s *lab.Server, c packetCase) {
	j := job{Controls: firewallControls, Config: firewallConfig()}
	if c.applied {
		j.Do = "apply"
		inServer(t, s, j)
	}
	if c.config != nil {
		c.config(&j.Config)
	}
	shell(t, s, c.setup)
	before, kernel := snapshot(t, s), rules(t, s)
	unchanged := func(what string) {
		t.Helper()
		if d := before.Diff(snapshot(t, s)); len(d) > 0 {
			t.Errorf("%s did not leave the server as it was: %s", what, d)
		}
		now := rules(t, s)
		if c.anyOrder {
			now, kernel = sorted(now), sorted(kernel)
		}
		if now != kernel {
			t.Errorf("%s did not leave the rules as they were:\n%s", what, server.Diff(server.Change{Before: server.State(kernel), After: server.State(now)}))
		}
	}
	j.Do = "audit"
	if verdict, said := summary(inServer(t, s, j).Results); verdict == server.Pass || !strings.Contains(said, c.cause) {
		t.Errorf("the audit says %s and does not name %q:\n%s", verdict, c.cause, said)
	}
	unchanged("the audit")
	j.Do = "apply"
	applied := tryInServer(t, s, j)
	if c.refused != "" {
		if !strings.Contains(applied.Error, c.refused) || len(applied.Done) > 0 {
			t.Errorf("apply did not refuse with %q: %+v", c.refused, applied)
		}
		unchanged("the refused apply")
		return
	}
	if applied.Error != "" || len(applied.Left) > 0 {
		t.Fatalf("apply: %s; a second plan asks for %s", applied.Error, applied.Left)
	}
	j.Do = "audit"
	want := server.Pass
	if j.Config.Firewall.Filter == server.FilterProvider {
		want = server.Unknown
	}
	if verdict, said := summary(inServer(t, s, j).Results); verdict != want {
		t.Errorf("after apply the audit says %s:\n%s", verdict, said)
	}
	shell(t, s, c.then)
	j.Do, j.Done = "undo", applied.Done
	inServer(t, s, j)
	unchanged("undo")
}

// testComesBack erases the table in every way that a running system has, and
// boots.
func testComesBack(t *testing.T, s *lab.Server) {
	j := job{Do: "apply", Controls: firewallControls, Config: firewallConfig()}
	inServer(t, s, j)
	want := rules(t, s)
	for _, how := range []string{
		"systemctl start nftables.service", "systemctl reload nftables.service", "systemctl restart nftables.service", "systemctl stop nftables.service",
		"nft flush ruleset; systemctl reload-or-restart holdfast-firewall.service",
		"systemctl enable nftables.service 2>/dev/null",
	} {
		shell(t, s, how)
		if how == "systemctl enable nftables.service 2>/dev/null" {
			if err := s.Reboot(t.Context()); err != nil {
				t.Fatal(err)
			}
			copyBinary(t, s)
		}
		if got := shell(t, s, "nft -s list table inet holdfast"); resource.NormalTable(got) != want {
			t.Errorf("after %s the table is\n%s", how, got)
		}
	}
	j.Do = "audit"
	if verdict, said := summary(inServer(t, s, j).Results); verdict != server.Pass {
		t.Errorf("after a boot the audit says %s:\n%s", verdict, said)
	}
}
