package probe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/control"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
	"github.com/holdfast-security/holdfast/server/machine"
	"github.com/holdfast-security/holdfast/server/probe"
	"github.com/holdfast-security/holdfast/server/site"
)

// job makes the test binary do something elsewhere than a test.
const job = "HOLDFAST_PROBE_JOB"

func TestMain(m *testing.M) {
	if machine.ServeWorld(os.Args) {
		return
	}
	jobs := map[string]func(context.Context) error{"scan": scanHere, "apply": applyHere, "listen": listenHere}
	do, ok := jobs[os.Getenv(job)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := do(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// scanHere scans from the network that this process is in.
func scanHere(ctx context.Context) error {
	var s probe.Scan
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return err
	}
	found, err := s.Run(ctx)
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(found))
}

// applyHere secures this machine with the controls of the firewall.
func applyHere(ctx context.Context) error {
	var c server.Config
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		return err
	}
	m := machine.New()
	p, err := server.MakePlan(ctx, m, control.Firewall(), c, nil)
	if err := errors.Join(err, p.Err()); err != nil {
		return err
	}
	for _, s := range p.Steps {
		if _, err := server.Apply(ctx, m, s.Resource, s.Change); err != nil {
			return err
		}
	}
	return nil
}

// services listen on every server, whatever its role: those that roles admit,
// and those that nobody must reach.
var (
	tcpServices = []uint16{80, 443, 3000, 3003, 3306, 6379, 9999, 65535}
	udpServices = []uint16{53, 161, 11211, 51820}
)

func listenHere(context.Context) error {
	for _, port := range tcpServices {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
	}
	failed := make(chan error)
	for _, port := range udpServices {
		// One socket for each family, so that the answer has the right sender.
		for _, network := range []string{"udp4", "udp6"} {
			p, err := net.ListenPacket(network, fmt.Sprintf(":%d", port))
			if err != nil {
				return err
			}
			go func() {
				buf := make([]byte, 512)
				for {
					n, from, err := p.ReadFrom(buf)
					if err == nil {
						_, err = p.WriteTo(buf[:n], from)
					}
					if err != nil {
						failed <- err
						return
					}
				}
			}()
		}
	}
	return <-failed
}

// interesting are the TCP ports that every pair is tried at; all of them are
// with HOLDFAST_SOAK.
func interesting() []uint16 {
	if os.Getenv("HOLDFAST_SOAK") != "" {
		return probe.AllTCP()
	}
	return append([]uint16{1, 21, 22, 23, 25, 53, 110, 111, 139, 143, 445, 631, 873, 2049, 2222, 3001, 3002, 3307, 5432, 8000, 8080, 8443, 9100, 27017}, tcpServices...)
}

// A viewpoint is where somebody looks from.
type viewpoint struct {
	name string
	// command runs the test binary there.
	command func(ctx context.Context, argv ...string) *exec.Cmd
}

// TestOutside looks at an application, a database and a backup server from
// everywhere, before and after a boot: what is found is what the roles promise.
func TestOutside(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	l := labtest.Lab(t, lab.Options{Suite: lab.DefaultSuite, Servers: []string{"app-1", "db-1", "backup-1"}})
	views := outsideViews(t, l)
	app, db, backup := l.Servers()[0], l.Servers()[1], l.Servers()[2]
	for _, s := range l.Servers() {
		prepare(t, s)
	}
	// Without a firewall everything is found, so that what is not found later was
	// hidden by it.
	open := []string{"tcp 22", "tcp 80", "tcp 443", "tcp 3000", "tcp 3003", "tcp 3306", "tcp 6379", "tcp 9999", "tcp 65535", "udp 53", "udp 161", "udp 11211", "udp 51820"}
	for _, to := range []netip.Addr{db.Addr4(), db.Addr6()} {
		found := look(t, views["internet"], to, interesting())
		if got := opened(found); !slices.Equal(got, sortedPorts(open)) {
			t.Fatalf("without a firewall the internet finds %s at %v", got, to)
		}
	}
	secureAll(t, l)
	web := []string{"tcp 22", "tcp 80", "tcp 443", "tcp 3000", "tcp 3003"}
	ssh := []string{"tcp 22"}
	matrix := []struct {
		from string
		to   *lab.Server
		on   lab.Network
		want []string
	}{
		{"internet", app, lab.Public, web},
		{"internet", db, lab.Public, nil},
		{"internet", backup, lab.Public, nil},
		{"stranger", app, lab.Private, web},
		{"stranger", db, lab.Private, nil},
		{"stranger", backup, lab.Private, nil},
		{"app-1", db, lab.Private, []string{"tcp 22", "tcp 3306"}},
		{"app-1", backup, lab.Private, ssh}, // the jump host
		{"db-1", app, lab.Private, web},
		{"db-1", backup, lab.Private, ssh},
		{"backup-1", db, lab.Private, nil},
	}
	for _, when := range []string{"before a boot", "after a boot"} {
		if when == "after a boot" {
			for _, s := range l.Servers() {
				if err := s.PowerOff(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := s.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				settle(t, s)
			}
			views = outsideViews(t, l, views)
		}
		for _, m := range matrix {
			for _, to := range addresses(m.to, m.on) {
				ports := interesting()
				if when == "before a boot" && m.from == "internet" && m.to == app && to.Is4() {
					ports = probe.AllTCP()
				}
				found := look(t, views[m.from], to, ports)
				if got := opened(found); !slices.Equal(got, sortedPorts(m.want)) {
					t.Errorf("%s, %s finds %s at %s (%v), want %s", when, m.from, got, m.to.Name(), to, m.want)
				}
				for _, p := range found {
					if p.Answer == probe.Closed {
						t.Errorf("%s, %s is told by %s (%v) that %v", when, m.from, m.to.Name(), to, p)
					}
				}
			}
		}
	}
}

func addresses(s *lab.Server, on lab.Network) []netip.Addr {
	if on == lab.Private {
		return []netip.Addr{s.Private4(), s.Private6()}
	}
	return []netip.Addr{s.Addr4(), s.Addr6()}
}

// outsideViews are the networks of a lab that somebody may look from. Those that
// are not servers are kept.
func outsideViews(t *testing.T, l *lab.Lab, before ...map[string]viewpoint) map[string]viewpoint {
	t.Helper()
	views := map[string]viewpoint{}
	for name, on := range map[string]lab.Network{"internet": lab.Public, "stranger": lab.Private} {
		if len(before) > 0 {
			views[name] = before[0][name]
			continue
		}
		n, err := l.Namespace(t.Context(), name, on)
		if err != nil {
			t.Fatal(err)
		}
		views[name] = viewpoint{name, n.Command}
	}
	for _, s := range l.Servers() {
		pid, err := s.Leader()
		if err != nil {
			t.Fatal(err)
		}
		views[s.Name()] = viewpoint{s.Name(), func(ctx context.Context, argv ...string) *exec.Cmd {
			return exec.CommandContext(ctx, "nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", pid)}, argv...)...)
		}}
	}
	return views
}

// look scans an address from a viewpoint.
func look(t *testing.T, from viewpoint, to netip.Addr, tcp []uint16) []probe.Port {
	t.Helper()
	in, err := json.Marshal(probe.Scan{Targets: []netip.Addr{to}, TCP: tcp, UDP: probe.CommonUDP})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	cmd := from.command(ctx, self)
	cmd.Env = append(os.Environ(), job+"=scan")
	cmd.Stdin = bytes.NewReader(in)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("scanning %v from %s: %v: %s", to, from.name, err, failed.String())
	}
	var found []probe.Port
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatal(err)
	}
	return found
}

func opened(found []probe.Port) []string {
	var all []string
	for _, p := range found {
		if p.Answer == probe.Open {
			all = append(all, strings.TrimSuffix(p.String(), " open"))
		}
	}
	return sortedPorts(all)
}

func sortedPorts(all []string) []string { return slices.Sorted(slices.Values(all)) }

// prepare puts the services and nftables on a server.
func prepare(t *testing.T, s *lab.Server) {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	const script = `cat >/opt/probe.test; chmod 700 /opt/probe.test
mkdir -p -m 700 /var/lib/holdfast; head -c 32 /dev/urandom >/var/lib/holdfast/key
printf '[Service]\nEnvironment=` + job + `=listen\nExecStart=/opt/probe.test\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/services.service
systemctl enable --now services.service 2>/dev/null
apt-get install -qqy --no-install-recommends nftables >/dev/null 2>&1`
	if _, err := s.Exec(t.Context(), self, "sh", "-ec", script); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
}

// settle waits until the services of a server listen.
func settle(t *testing.T, s *lab.Server) {
	t.Helper()
	const script = "for i in $(seq 300); do ss -Hltn | grep -q ':65535 ' && [ $(ss -Hlun | grep -c ':51820 ') = 2 ] && exit 0; sleep 0.1; done; exit 1"
	if _, err := s.Exec(t.Context(), nil, "sh", "-c", script); err != nil {
		t.Fatal(err)
	}
}

// secureAll applies the firewall of a site file on every server of a lab.
func secureAll(t *testing.T, l *lab.Lab) {
	t.Helper()
	var b strings.Builder
	b.WriteString("site: lab\nadmins: [{name: anna, keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFy0iAlsvRa4j0wGLbkDFQKcTBxtGzG4eI3hKmuyCpNR anna@desk]}]\nservers:\n")
	for _, s := range l.Servers() {
		role, _, _ := strings.Cut(s.Name(), "-")
		full := map[string]server.Role{"app": server.Application, "db": server.Database, "backup": server.Backup}[role]
		fmt.Fprintf(&b, "  - {name: %s, role: %s, address: %s, address6: '%s', private: %s, private6: '%s'", s.Name(), full, s.Addr4(), s.Addr6(), s.Private4(), s.Private6())
		if full != server.Application {
			b.WriteString(", jump: app-1")
		}
		b.WriteString("}\n")
	}
	f, err := site.Parse("holdfast.yaml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Servers() {
		c, err := f.Config(s.Name())
		if err != nil {
			t.Fatal(err)
		}
		in, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Exec(t.Context(), bytes.NewReader(in), "env", job+"=apply", "/opt/probe.test"); err != nil {
			t.Fatal(err)
		}
	}
}
