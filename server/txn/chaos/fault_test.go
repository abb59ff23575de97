package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server/txn"
)

// Where in the life of a transaction a fault is injected. A step is the number of
// the step that has just begun.
const (
	prepared    = "prepared"
	armed       = "armed"
	firstStep   = "step 1"
	middleStep  = "step 8"
	lateStep    = "step 14"
	applied     = "applied"
	proving     = "proving"
	confirming  = "confirming"
	rollingBack = "rolling-back"
)

// everywhere are the transitions that a fault from outside may meet.
func everywhere() []string {
	return []string{prepared, armed, firstStep, middleStep, lateStep, applied, proving, confirming, rollingBack}
}

// A fault is something that goes wrong.
type fault struct {
	kind string
	at   []string
	// only is "apply" or "undo" if it makes sense for one of them alone.
	only string
	do   func(ctx context.Context, c *cycle) error
	// lift takes it away after the transaction has ended and before the server is
	// looked at; nil for what the server has to get over by itself.
	lift func(ctx context.Context, c *cycle) error
	// after takes it away once somebody has logged in in spite of it.
	after func(ctx context.Context, c *cycle) error
	// planted are files that the fault leaves, by a part of their path.
	planted []string
	// deaf says that the desk may be unable to learn how it ended.
	deaf bool
}

const dropIns = "/etc/ssh/sshd_config.d/"

// faults is the matrix.
func faults() []fault {
	return []fault{
		{kind: "desk killed", at: everywhere(), do: killDesk},
		{kind: "network cut for good", at: everywhere(), do: cutNetwork, lift: mendNetwork, deaf: true},
		{kind: "power cut", at: everywhere(), do: cutPower, deaf: true},
		{kind: "run or rollback killed", at: []string{firstStep, middleStep, lateStep, applied, rollingBack}, do: killRun},
		{kind: "serve killed", at: everywhere(), do: killServe},
		{kind: "dbus restarted", at: []string{armed, middleStep, applied, rollingBack}, do: restart("dbus.service")},
		{kind: "logind restarted", at: []string{armed, middleStep, applied, rollingBack}, do: restart("systemd-logind.service")},
		{kind: "sshd restarted", at: []string{firstStep, lateStep, applied, rollingBack}, do: restart("ssh.service")},
		{kind: "sshd stopped", at: []string{middleStep, applied, rollingBack}, do: stopSSH},
		{kind: "sshd stopped and network cut", at: []string{middleStep, applied, rollingBack}, do: stopAndCut, lift: mendNetwork, deaf: true},
		{kind: "packet filter admits nobody", at: []string{armed, middleStep, applied}, do: closeFirewall, lift: mendNetwork, deaf: true},
		{kind: "package manager wants to work", at: []string{prepared, middleStep, applied, rollingBack}, do: runApt, lift: waitApt},
		{kind: "disk full", at: []string{prepared, firstStep, middleStep, applied, rollingBack}, do: fillDisk, lift: emptyDisk},
		{kind: "second desk", at: []string{prepared, middleStep, applied}, do: secondDesk},
		{kind: "stranger confirms", at: []string{armed, middleStep, applied, rollingBack}, do: strangerConfirms},
		{kind: "daemon of another version", at: []string{prepared, middleStep, applied, rollingBack}, do: otherVersion},
		{kind: "admin taken out of the group", at: []string{applied}, only: "apply", do: takeOutOfGroup},
		{kind: "sshd_config.d broken after validation", at: []string{middleStep, lateStep, rollingBack}, do: plant("00-foreign.conf", "ThisIs NotAnOption\n"), after: unplant, planted: []string{dropIns + "00-foreign.conf"}},
		{kind: "AllowGroups excludes everybody", at: []string{middleStep, lateStep, rollingBack}, do: plant("00-foreign.conf", "AllowGroups nosuchgroup\n"), after: unplant, planted: []string{dropIns + "00-foreign.conf"}},
		{kind: "a later Match block admits nobody", at: []string{middleStep, lateStep, rollingBack}, do: plant("99-foreign.conf", "Match all\n    AllowUsers nosuchuser\n"), after: unplant, planted: []string{dropIns + "99-foreign.conf"}},
		{kind: "port moved by a foreign file", at: []string{middleStep, lateStep, rollingBack}, do: plant("00-foreign.conf", "Port 2222\n"), after: unplant, planted: []string{dropIns + "00-foreign.conf"}},
		{kind: "SSHD_OPTS moves the port", at: []string{middleStep, applied}, do: moveByOptions, deaf: true, after: unmoveByOptions, planted: []string{"/etc/default/ssh"}},
		{kind: "sshd_config deleted", at: []string{middleStep, rollingBack}, do: deleteConfig, after: undeleteConfig, planted: []string{"/etc/ssh/sshd_config"}},
		{kind: "PAM stack refuses", at: []string{middleStep, applied}, do: breakPAM, after: mendPAM, planted: []string{"/etc/pam.d/sshd"}, deaf: true},
		{kind: "PAM module removed", at: []string{middleStep, applied}, do: hidePAMModule, after: showPAMModule, planted: []string{"/security/pam_unix.so"}, deaf: true},
	}
}

func killDesk(_ context.Context, c *cycle) error { return c.run.cmd.Process.Kill() }

// killDeskAndRollBack lets the console do what nobody waits for.
func killDeskAndRollBack(ctx context.Context, c *cycle) error {
	if err := killDesk(ctx, c); err != nil {
		return err
	}
	binary, err := c.daemon()
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if st, err := c.status(c.id); err != nil || st.State == txn.Applied || st.State.Final() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	_, err = c.exec(ctx, binary, "txn-rollback", c.id)
	return err
}

// cutNetwork drops every packet from and to the server, from now on.
func cutNetwork(ctx context.Context, c *cycle) error {
	return c.inNetwork(ctx, `table inet chaos {
		chain in { type filter hook input priority -300; policy drop; iif lo accept; }
		chain out { type filter hook output priority -300; policy drop; oif lo accept; }
	}`, "nft", "-f", "-")
}

// closeFirewall admits no new connection.
func closeFirewall(ctx context.Context, c *cycle) error {
	return c.inNetwork(ctx, `table inet chaos {
		chain in { type filter hook input priority -300; policy accept; iif != lo tcp dport 22 tcp flags syn drop; }
	}`, "nft", "-f", "-")
}

func mendNetwork(ctx context.Context, c *cycle) error {
	return c.inNetwork(ctx, "", "nft", "delete", "table", "inet", "chaos")
}

func cutPower(ctx context.Context, c *cycle) error {
	return errors.Join(c.s.PowerCut(ctx), c.s.Boot(ctx))
}

// killRun kills whoever carries the transaction out or rolls it back.
func killRun(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "systemctl kill --signal=KILL holdfast-txn-"+c.id+".service holdfast-guard-"+c.id+".service 2>/dev/null || true")
}

// killServe kills the daemons that talk to desks.
func killServe(ctx context.Context, c *cycle) error {
	return c.sh(ctx, `for p in /proc/[0-9]*; do
		case "$(readlink $p/exe)" in */holdfastd) if tr '\0' ' ' <$p/cmdline | grep -q ' serve'; then kill -KILL ${p#/proc/}; fi ;; esac
	done 2>/dev/null; true`)
}

func restart(unit string) func(context.Context, *cycle) error {
	return func(ctx context.Context, c *cycle) error { return c.sh(ctx, "systemctl restart "+unit) }
}

func stopSSH(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "systemctl stop ssh.socket ssh.service")
}

func stopAndCut(ctx context.Context, c *cycle) error {
	return errors.Join(stopSSH(ctx, c), cutNetwork(ctx, c))
}

// runApt has a package manager wait for the server.
func runApt(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "rm -f /run/chaos-apt; (apt-get -y -o DPkg::Lock::Timeout=300 install base-files >/run/chaos-apt.log 2>&1; echo $? >/run/chaos-apt) >/dev/null 2>&1 &")
}

func waitApt(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "for i in $(seq 1000); do [ -e /run/chaos-apt ] && break; sleep 0.1; done; if [ \"$(cat /run/chaos-apt)\" != 0 ]; then cat /run/chaos-apt.log; exit 1; fi >&2")
}

const filler = "/var/chaos-filler"

// fillDisk leaves not a block free.
func fillDisk(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "i=0; for size in 1G 100M 10M 1M 64K 4K; do while fallocate -l $size "+filler+".$i 2>/dev/null; do i=$((i+1)); done; rm -f "+filler+".$i; done; true")
}

func emptyDisk(ctx context.Context, c *cycle) error { return c.sh(ctx, "rm -f "+filler+".*") }

// secondDesk applies from another desk, which has to be turned away.
func secondDesk(ctx context.Context, c *cycle) error {
	r, err := c.desk(ctx, c.dir, "apply", "--window", "20s")
	if err != nil {
		return err
	}
	select {
	case <-r.ended:
	case <-time.After(2 * time.Minute):
		return errors.New("the second desk does not end")
	}
	if r.code == 0 && !strings.Contains(r.text(), "change") || r.code == 1 {
		return nil
	}
	return &wrongReport{fmt.Sprintf("the second desk ended with %d: %s", r.code, tail(r.text()))}
}

// A wrongReport is a fault that was answered as it must not be.
type wrongReport struct{ what string }

// Error says what.
func (e *wrongReport) Error() string { return e.what }

// strangerConfirms tries to confirm with a nonce of its own.
func strangerConfirms(ctx context.Context, c *cycle) error {
	binary, err := c.daemon()
	if err != nil {
		return err
	}
	answer, err := c.serve(ctx, binary, `{"format":1,"id":1,"op":"confirm","body":{"transaction":"`+c.id+`","nonce":"00112233445566778899aabbccddeeff"}}`)
	if err != nil {
		return err
	}
	if !strings.Contains(answer, `"error"`) {
		return &wrongReport{"a stranger's confirmation was answered with " + answer}
	}
	return nil
}

// daemon is the binary on the server.
func (s *subject) daemon() (string, error) {
	all, err := filepath.Glob(filepath.Join(s.s.Root(), "usr/local/lib/holdfast/*/holdfastd"))
	if err != nil || len(all) == 0 {
		return "", errors.Join(err, errors.New("there is no holdfastd on the server"))
	}
	return strings.TrimPrefix(all[0], s.s.Root()), nil
}

// otherVersion has a daemon of another build look at the journal.
func otherVersion(ctx context.Context, c *cycle) error {
	answer, err := c.serve(ctx, otherDaemon, `{"format":1,"id":1,"op":"status","body":{"transaction":"`+c.id+`"}}`)
	if err != nil {
		return err
	}
	if !strings.Contains(answer, c.id) {
		return &wrongReport{"another version answers " + answer}
	}
	return nil
}

func takeOutOfGroup(ctx context.Context, c *cycle) error { return c.sh(ctx, "gpasswd -d alice sudo") }

// plant writes a foreign drop-in, as a colleague or a tool would.
func plant(name, content string) func(context.Context, *cycle) error {
	return func(_ context.Context, c *cycle) error {
		return os.WriteFile(filepath.Join(c.s.Root(), dropIns, name), []byte(content), 0o644)
	}
}

func unplant(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "rm -f "+dropIns+"*-foreign.conf")
}

func moveByOptions(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "cp -p /etc/default/ssh /run/chaos-default-ssh; echo 'SSHD_OPTS=-p2222' >/etc/default/ssh; systemctl restart ssh.service")
}

func unmoveByOptions(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "cp -p /run/chaos-default-ssh /etc/default/ssh")
}

func deleteConfig(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "cp -p /etc/ssh/sshd_config /run/chaos-sshd_config; rm /etc/ssh/sshd_config")
}

func undeleteConfig(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "[ -e /etc/ssh/sshd_config ] || cp -p /run/chaos-sshd_config /etc/ssh/sshd_config")
}

func breakPAM(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "cp -p /etc/pam.d/sshd /run/chaos-pam; sed -i '1i account required pam_nosuchmodule.so' /etc/pam.d/sshd")
}

func mendPAM(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "cp -p /run/chaos-pam /etc/pam.d/sshd")
}

const moduleFiles = "/usr/lib/x86_64-linux-gnu/security/pam_unix.so"

func hidePAMModule(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "mv "+moduleFiles+" "+moduleFiles+".gone")
}

func showPAMModule(ctx context.Context, c *cycle) error {
	return c.sh(ctx, "mv "+moduleFiles+".gone "+moduleFiles)
}
