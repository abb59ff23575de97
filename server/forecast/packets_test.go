package forecast

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
)

func packetConfig() server.Config {
	return server.Config{
		Site: "shop", Server: "db-1", Port: 22, Roles: []server.Role{server.Application, server.Database},
		Firewall: server.Firewall{
			Direct: true, AdminNetworks: []string{"198.51.100.0/24", "2001:db8::/32"}, Applications: []string{"10.0.0.5"},
			ApplicationPorts: []int{80, 443, 3000}, DatabasePorts: []int{3306}, Redirects: []server.Redirect{{From: 80, To: 3000}, {From: 443, To: 3003}},
		},
	}
}

func TestRefusePackets(t *testing.T) {
	provider := packetConfig()
	provider.Firewall.Filter = server.FilterProvider
	for _, tt := range []struct {
		from, want string
		c          server.Config
	}{
		{"203.0.113.9", "the firewall would not admit your own address 203.0.113.9 to port 22, only 198.51.100.0/24, 2001:db8::/32, 10.0.0.5", packetConfig()},
		{"2001:db9::1", "your own address 2001:db9::1", packetConfig()},
		{"fe80::1%eth0", "your own address fe80::1 ", packetConfig()},
		{"198.51.100.7", "", packetConfig()},
		{"::ffff:198.51.100.7", "", packetConfig()},
		{"2001:db8::9", "", packetConfig()},
		{"10.0.0.5", "", packetConfig()},
		{"127.0.0.1", "", packetConfig()},
		{"", "", packetConfig()},
		{"203.0.113.9", "", provider},
	} {
		got, err := RefusePackets(tt.c, tt.from)
		if said := strings.Join(got, "; "); err != nil || (said == "") != (tt.want == "") || !strings.Contains(said, tt.want) {
			t.Errorf("from %q: %q, %v; want %q", tt.from, got, err, tt.want)
		}
	}
	bad := packetConfig()
	bad.Firewall.AdminNetworks = []string{"office"}
	if _, err := RefusePackets(bad, "203.0.113.9"); err == nil {
		t.Error("a policy that cannot be made is taken for one that admits")
	}
}

// sockets is what ss prints on Debian 12 and 13.
const sockets = `udp   UNCONN 0      0              127.0.0.54:53         0.0.0.0:*    users:(("systemd-resolve",pid=80,fd=20))
udp   UNCONN 0      0           0.0.0.0%eth0:68         0.0.0.0:*    users:(("systemd-network",pid=70,fd=20))
udp   UNCONN 0      0                   [::]:5353          [::]:*    users:(("avahi-daemon",pid=90,fd=13))
tcp   LISTEN 0      128              0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=100,fd=3))
tcp   LISTEN 0      511              0.0.0.0:80         0.0.0.0:*    users:(("nginx",pid=110,fd=6),("nginx",pid=111,fd=6))
tcp   LISTEN 0      511                    *:443              *:*    users:(("nginx",pid=110,fd=7))
tcp   LISTEN 0      80             127.0.0.1:5432       0.0.0.0:*    users:(("postgres",pid=120,fd=3))
tcp   LISTEN 0      80                  [::]:3306          [::]:*    users:(("mariadbd",pid=130,fd=9))
tcp   LISTEN 0      511              0.0.0.0:3000       0.0.0.0:*    users:(("node",pid=140,fd=9))
tcp   LISTEN 0      10       [fe80::1]%eth0:9100          [::]:*
tcp   LISTEN 0      10                 [::1]:631          [::]:*
`

func TestCutOff(t *testing.T) {
	h := hosttest.Debian(t)
	h.Handle("ss", func(context.Context, *hosttest.Host, string, []string) (string, error) { return sockets, nil })
	h.Put("/proc/sys/net/ipv4/ip_forward", "1\n")
	got, err := CutOff(t.Context(), h, packetConfig())
	want := []string{
		"avahi-daemon on udp port 5353 is reached today and would be cut off",
		"nginx on tcp port 80 would be cut off: what arrives there is led to port 3000",
		"nginx on tcp port 443 is reached today and would be cut off: what arrives there is led to port 3003, where nothing listens",
		"mariadbd on tcp port 3306 would be reached from 10.0.0.5 alone",
		"something on tcp port 9100 is reached today and would be cut off",
		"packets of others pass through this server today (net.ipv4.ip_forward is 1); only those of Docker will",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	// Behind our table only what it admits is reached today.
	h.AddTable("inet holdfast", "table inet holdfast {\n\tchain input {\n\t\tip saddr 10.0.0.9 tcp dport 9000-9200 accept comment \"x\"\n\t}\n}\n")
	got, err = CutOff(t.Context(), h, packetConfig())
	if err != nil || !slices.Equal(got, want[4:5]) {
		t.Errorf("behind our table: %q, %v", got, err)
	}
}

func TestCutOffFails(t *testing.T) {
	for name, out := range map[string]string{"cut": "tcp LISTEN 0 1\n", "no port": "tcp LISTEN 0 1 host 0.0.0.0:*\n", "bad port": "tcp LISTEN 0 1 0.0.0.0:http 0.0.0.0:*\n"} {
		h := hosttest.Debian(t)
		h.Handle("ss", func(context.Context, *hosttest.Host, string, []string) (string, error) { return out, nil })
		if got, err := CutOff(t.Context(), h, packetConfig()); err == nil {
			t.Errorf("%s: %q is taken for what listens", name, got)
		}
	}
}
