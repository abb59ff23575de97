package control_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
	"github.com/holdfast-security/holdfast/server/probe"
	"github.com/holdfast-security/holdfast/server/site"
)

// A viewpoint is a place that packets come from.
type viewpoint struct {
	name string
	// command runs a program of this machine there.
	command func(argv ...string) *exec.Cmd
	// networks are those that it is on.
	networks []lab.Network
}

// A matrix is a site of three servers, and everybody who may want something of
// them.
type matrix struct {
	lab             *lab.Lab
	internet        *lab.Namespace
	app, db, backup *lab.Server
	site            *site.Site
	places          []viewpoint
}

// promised are the TCP ports that the roles promise to a viewpoint, in the words
// of the guide rather than of the code.
func (m *matrix) promised(from viewpoint, to *lab.Server, on lab.Network) []uint16 {
	private := on == lab.Private
	switch to {
	case m.app:
		ports := []uint16{80, 443, 3000, 3003, 8081}
		if from.name == "desk" {
			ports = append(ports, 22)
		}
		return ports
	case m.db:
		switch {
		case from.name == "app-1" && private:
			return []uint16{22, 3306}
		case from.name == "app-1": // the jump host has two addresses
			return []uint16{22}
		}
	case m.backup:
		if from.name == "app-1" || from.name == "db-1" && private {
			return []uint16{22}
		}
	}
	return nil
}

const (
	// matrixSockets answers on the ports of the application with their numbers.
	matrixSockets = `
for port in 3000 3003 3306; do
printf '[Socket]\nListenStream=%s\nAccept=yes\n[Install]\nWantedBy=sockets.target\n' $port >/etc/systemd/system/matrix$port.socket
printf '[Service]\nExecStart=/bin/echo %s\nStandardInput=socket\nStandardOutput=socket\n' $port >/etc/systemd/system/matrix$port@.service
systemctl enable -q --now matrix$port.socket
done
`
	// matrixDocker is what Docker makes of a container that publishes 8080 and
	// 8081, every time that its daemon starts.
	matrixDocker = `
touch /usr/bin/dockerd
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link add docker0 type bridge
ip addr add 172.17.0.1/16 dev docker0
ip link set docker0 up
ip link add veth0 type veth peer name eth9
ip link set veth0 master docker0 up
unshare -n sleep 86400 & child=$!
until [ "$(readlink /proc/$child/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link set eth9 netns $child
nsenter -n -t $child ip addr add 172.17.0.2/16 dev eth9
nsenter -n -t $child ip link set eth9 up
nsenter -n -t $child ip route add default via 172.17.0.1
disown
`
)

// matrixUnit keeps the container running after the shell that has made it.
const matrixUnit = "cat >/run/docker.sh; systemd-run -q --unit=fake-docker --service-type=exec -p KillMode=process bash -euc '. /run/docker.sh; touch /run/docker.up; wait'\n" +
	"until [ -e /run/docker.up ]; do systemctl is-active -q fake-docker || exit 1; sleep 0.1; done; rm /run/docker.up\n"

func (m *matrix) startDocker(t *testing.T) {
	t.Helper()
	out, err := m.app.Exec(t.Context(), strings.NewReader(matrixDocker), "bash", "-euc", matrixUnit)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rules := strings.ReplaceAll(dockerRules, `		iifname != "docker0" tcp dport 8080 dnat to 172.17.0.2:80
`, `		iifname != "docker0" tcp dport 8080 dnat to 172.17.0.2:80
		iifname != "docker0" tcp dport 8081 dnat to 172.17.0.2:80
`)
	shell(t, m.app, rules)
}

// What is promised by the roles, and nothing else, is reached from everywhere,
// before and after a boot.
func TestFirewallMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	suites := []string{lab.DefaultSuite}
	if os.Getenv("HOLDFAST_SOAK") == "1" {
		suites = lab.Suites
	}
	for _, suite := range suites {
		t.Run(suite, func(t *testing.T) {
			m := newMatrix(t, suite)
			for _, s := range []*lab.Server{m.app, m.db, m.backup} {
				copyBinary(t, s)
				shell(t, s, matrixSockets+"apt-get install -qqy --no-install-recommends nftables >/dev/null 2>&1")
			}
			m.startDocker(t)
			// A stock server says of every port whether anybody listens: silence
			// is the firewall's work.
			t.Run("stock", func(t *testing.T) { m.check(t, false) })
			for _, s := range []*lab.Server{m.app, m.db, m.backup} {
				m.do(t, s, "apply")
			}
			t.Run("filtered", func(t *testing.T) { m.check(t, true) })
			for _, s := range []*lab.Server{m.app, m.db, m.backup} {
				if err := s.Reboot(t.Context()); err != nil {
					t.Fatal(err)
				}
				copyBinary(t, s)
			}
			m.startDocker(t)
			t.Run("after a boot", func(t *testing.T) { m.check(t, true) })
			for _, s := range []*lab.Server{m.app, m.db, m.backup} {
				m.do(t, s, "audit")
			}
		})
	}
}

func newMatrix(t *testing.T, suite string) *matrix {
	l := labtest.Lab(t, lab.Options{Suite: suite, Servers: []string{"app-1", "db-1", "backup-1"}})
	m := &matrix{lab: l, app: l.Servers()[0], db: l.Servers()[1], backup: l.Servers()[2]}
	namespace := func(name string, on lab.Network) *lab.Namespace {
		n, err := l.Namespace(t.Context(), name, on)
		if err != nil {
			t.Fatal(err)
		}
		m.places = append(m.places, viewpoint{name, func(argv ...string) *exec.Cmd { return n.Command(t.Context(), argv...) }, []lab.Network{on}})
		return n
	}
	m.internet = namespace("internet", lab.Public)
	namespace("stranger", lab.Private)
	m.places = append(m.places, viewpoint{"desk", func(argv ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	}, []lab.Network{lab.Public}})
	for _, s := range []*lab.Server{m.app, m.db} {
		m.places = append(m.places, viewpoint{s.Name(), func(argv ...string) *exec.Cmd {
			leader, err := s.Leader()
			if err != nil {
				t.Fatal(err)
			}
			return exec.CommandContext(t.Context(), "nsenter", append([]string{"--net=/proc/" + strconv.Itoa(leader) + "/ns/net", "--"}, argv...)...)
		}, []lab.Network{lab.Public, lab.Private}})
	}
	m.site = m.load(t)
	return m
}

// load reads the site file of the matrix.
func (m *matrix) load(t *testing.T) *site.Site {
	t.Helper()
	desk4, desk6 := m.lab.Desk()
	var b strings.Builder
	fmt.Fprintf(&b, "site: matrix\nadmins: [{name: anna, keys: [%q]}]\nadmin_networks: [%s/32, %q]\n"+
		"rules: [{protocol: tcp, port: 8081, servers: [app-1]}]\nservers:\n", adminKey, desk4, desk6.String()+"/128")
	for _, s := range []struct {
		*lab.Server
		role, jump string
	}{{m.app, "application", ""}, {m.db, "database", "jump: app-1, "}, {m.backup, "backup", "jump: app-1, "}} {
		fmt.Fprintf(&b, "  - {name: %s, role: %s, %saddress: %s, address6: %q, private: %s, private6: %q}\n",
			s.Name(), s.role, s.jump, s.Addr4(), s.Addr6().String(), s.Private4(), s.Private6().String())
	}
	read, err := site.Parse(filepath.Join(t.TempDir(), "holdfast.yaml"), []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// do applies or audits the firewall of a server.
func (m *matrix) do(t *testing.T, s *lab.Server, what string) {
	t.Helper()
	c, err := m.site.Config(s.Name())
	if err != nil {
		t.Fatal(err)
	}
	o := inServer(t, s, job{Do: what, Controls: firewallControls, Config: c})
	if verdict, said := summary(o.Results); said != "" || len(o.Left) > 0 {
		t.Errorf("%s of %s: %s, left %s:\n%s", what, s.Name(), verdict, o.Left, said)
	}
}

// check scans every server from everywhere.
func (m *matrix) check(t *testing.T, filtered bool) {
	for _, from := range m.places {
		for _, to := range []*lab.Server{m.app, m.db, m.backup} {
			if from.name == to.Name() {
				continue
			}
			for _, on := range from.networks {
				for _, host := range m.hosts(to, on) {
					full := os.Getenv("HOLDFAST_SOAK") == "1" || from.name == "internet" && to == m.app && host.Is4()
					m.pair(t, from, to, on, host, full, filtered)
				}
			}
		}
	}
	if filtered {
		m.checkRedirects(t)
	}
}

func (m *matrix) hosts(s *lab.Server, on lab.Network) []netip.Addr {
	if on == lab.Private {
		return []netip.Addr{s.Private4(), s.Private6()}
	}
	return []netip.Addr{s.Addr4(), s.Addr6()}
}

// pair scans one address of a server from one place.
func (m *matrix) pair(t *testing.T, from viewpoint, to *lab.Server, on lab.Network, host netip.Addr, full, filtered bool) {
	t.Helper()
	began, ports := time.Now(), interesting()
	if full {
		ports = append(probe.AllTCP(), probe.CommonUDP()...)
	}
	if !filtered {
		// The kernel limits how often it says no over UDP, and a service may
		// listen and keep quiet.
		ports = slices.DeleteFunc(ports, func(p probe.Port) bool { return p.Protocol == "udp" })
	}
	promised := m.promised(from, to, on)
	wanted := func(p probe.Port) bool {
		if !filtered {
			return true
		}
		// Docker publishes over IPv4 alone here; of IPv6 the rule admits the
		// port, and the server itself says no.
		return p.Protocol == "tcp" && slices.Contains(promised, p.Number)
	}
	silent := m.scan(t, from, host, ports, time.Second)
	// A busy machine may answer late.
	var again []probe.Port
	for _, p := range ports {
		if silent[p] && wanted(p) {
			again = append(again, p)
		}
	}
	if len(again) > 0 {
		for p := range m.scan(t, from, host, again, 10*time.Second) {
			t.Errorf("from %s, %v of %s (%v) does not answer", from.name, p, to.Name(), host)
		}
	}
	for _, p := range ports {
		if !silent[p] && !wanted(p) {
			t.Errorf("from %s, %v of %s (%v) is reached", from.name, p, to.Name(), host)
		}
	}
	t.Logf("%s to %s (%v): %d ports, %d silent, in %v", from.name, to.Name(), host, len(ports), len(silent), time.Since(began).Round(time.Millisecond))
}

// interesting are the ports that servers use, some that nobody does, and the
// common ones of UDP.
func interesting() []probe.Port {
	all := probe.CommonUDP()
	for n := uint16(1); n <= 1024; n++ {
		all = append(all, probe.Port{Protocol: "tcp", Number: n})
	}
	for _, n := range []uint16{
		1433, 1521, 2049, 2375, 2376, 3000, 3001, 3003, 3128, 3306, 3389, 4000, 5000, 5432, 5671, 5900, 5985, 6379, 6443, 8000, 8080, 8081,
		8443, 8888, 9000, 9090, 9100, 9200, 10000, 10250, 11211, 15672, 22222, 27017, 32768, 50000, 60000, 65534, 65535,
	} {
		all = append(all, probe.Port{Protocol: "tcp", Number: n})
	}
	return all
}

// scan returns the ports that do not answer somebody there.
func (m *matrix) scan(t *testing.T, from viewpoint, host netip.Addr, ports []probe.Port, timeout time.Duration) map[probe.Port]bool {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(job{Do: "scan", Scan: scanJob{Host: host, Ports: ports, Timeout: timeout}})
	if err != nil {
		t.Fatal(err)
	}
	cmd := from.command("env", insideVariable+"=1", self)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scanning from %s: %v", from.name, err)
	}
	var o outcome
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if o.Error != "" {
		t.Fatalf("scanning from %s: %s", from.name, o.Error)
	}
	silent := map[probe.Port]bool{}
	for _, p := range o.Silent {
		silent[p] = true
	}
	return silent
}

// checkRedirects demands that the ports of the web lead to the application.
func (m *matrix) checkRedirects(t *testing.T) {
	for _, host := range m.hosts(m.app, lab.Public) {
		for port, leads := range map[uint16]string{80: "3000", 443: "3003", 3000: "3000", 3003: "3003"} {
			conn, err := m.internet.Dial(t.Context(), "tcp", netip.AddrPortFrom(host, port))
			if err != nil {
				t.Error(err)
				continue
			}
			defer conn.Close()
			if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if said, err := io.ReadAll(conn); strings.TrimSpace(string(said)) != leads {
				t.Errorf("port %d of %v leads to %q (%v), not to %s", port, host, said, err, leads)
			}
		}
	}
}
