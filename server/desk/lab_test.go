package desk

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
	"golang.org/x/crypto/ssh"
)

// A stock server of each supported release: root by password, then an admin with
// sudo, over both families; and what its daemon does to an address that fails.
func TestStockServers(t *testing.T) {
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			l := labtest.Lab(t, lab.Options{Suite: suite, Servers: []string{"app-1"}, Password: "stock"})
			server := l.Servers()[0]
			b := newBench(t)
			key := b.key("id", "")
			ada := Login{User: "ada", Keys: []string{line(key)}}
			b.answers[LoginPassword], b.answers[SudoPassword] = "stock", "right"
			d := b.desk()
			target := Target{Name: "app-1", Address: server.Addr4().String(), Logins: []Login{ada, {User: "root", Password: true}}}
			s, err := d.Open(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			hello(t, s)
			if !s.Uploaded || s.Conn.User != "root" {
				t.Errorf("logged in as %s, uploaded %v", s.Conn.User, s.Uploaded)
			}
			s.Close()
			admit(t, server, key)
			for _, address := range []string{server.Addr4().String(), server.Addr6().String()} {
				target.Address = address
				p, err := d.Prove(t.Context(), target, ada)
				if err != nil || !p.Root {
					t.Fatalf("%s: %+v, %v", address, p, err)
				}
				t.Logf("%s", p.Algorithms.Version)
			}
			if a, err := d.Try(t.Context(), target, Login{User: "ada"}); err != nil || a.Admitted {
				t.Errorf("without a key: %+v, %v", a, err)
			}
			fresh := b.desk()
			fresh.config.Memory = ""
			target.Logins = []Login{ada}
			if s, err = fresh.Open(t.Context(), target); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			hello(t, s)
			if s.Uploaded || fresh.Stats().FailedLogins != 0 {
				t.Errorf("uploaded %v, %+v", s.Uploaded, fresh.Stats())
			}
			far(t, server, fresh, target)
			if suite == "trixie" { // the first release whose daemon makes addresses wait
				turnedAway(t, d, target, Login{User: "nobody", Keys: ada.Keys})
			}
		})
	}
}

// admit makes the admin ada, as an apply would.
func admit(t *testing.T, server *lab.Server, key ssh.PublicKey) {
	t.Helper()
	script := fmt.Sprintf(`useradd --create-home --groups sudo --shell /bin/bash ada
echo ada:right | chpasswd
install -d -m 700 -o ada -g ada /home/ada/.ssh
echo '%s' > /home/ada/.ssh/authorized_keys
chown ada:ada /home/ada/.ssh/authorized_keys
chmod 600 /home/ada/.ssh/authorized_keys`, line(key))
	if out, err := server.Exec(t.Context(), strings.NewReader(script), "sh", "-e", "-s"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// far opens a conversation over a long line.
func far(t *testing.T, server *lab.Server, d *Desk, target Target) {
	t.Helper()
	const rtt = 100 * time.Millisecond
	if err := server.Delay(t.Context(), rtt); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s, err := d.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	hello(t, s)
	took := time.Since(begin)
	n := s.Conn.Counts().RoundTrips
	t.Logf("%d round trips, %v at %v each", n, took.Round(time.Millisecond), rtt)
	if least := 10 * rtt; n != 11 || took < least || took > least+3*time.Second {
		t.Errorf("%d round trips in %v, want 11 in a little more than %v", n, took, least)
	}
	if err := server.Delay(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

// turnedAway fails to log in until the server has enough.
func turnedAway(t *testing.T, d *Desk, target Target, as Login) {
	t.Helper()
	for range 20 {
		_, err := d.Try(t.Context(), target, as)
		var away *TurnedAwayError
		if errors.As(err, &away) {
			t.Logf("after %d failed logins: %v", d.Stats().FailedLogins, err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("20 failed logins and none was turned away")
}
