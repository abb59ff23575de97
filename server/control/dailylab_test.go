package control_test

import (
	"os"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// standIn puts a program where the daemon would be.
const standIn = `
dir=/usr/local/lib/holdfast; rm -rf $dir; mkdir -p $dir/x; cp /bin/true $dir/x/holdfastd; ln -sfn x/holdfastd $dir/holdfastd
`

// The daily audit is set up, mended and undone, whatever somebody did to it.
func TestDailyOnServers(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	c := []string{"daily-audit"}
	const unit = "/etc/systemd/system/holdfast-audit"
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			s := labtest.Server(t, suite)
			copyBinary(t, s)
			shell(t, s, standIn+remember)
			for _, b := range []struct {
				broken
				fresh bool // it was never applied
				both  bool // it is tried on both systems in any case
			}{
				{fresh: true, both: true, broken: broken{name: "nothing is there", cause: "file " + unit + ".service is there"}},
				{fresh: true, broken: broken{
					name: "a unit of the same name", setup: "printf '[Service]\\nExecStart=/bin/false\\n' >" + unit + ".service; systemctl daemon-reload",
					cause: "-ExecStart=/bin/false",
				}},
				{broken: broken{name: "disabled and stopped", setup: "systemctl disable --now --quiet holdfast-audit.timer", cause: "timers.target.wants/holdfast-audit.timer is there"}},
				{broken: broken{name: "stopped", setup: "systemctl stop holdfast-audit.timer", cause: "running holdfast-audit.timer"}},
				{broken: broken{name: "edited and loaded", setup: "sed -i s/1d/52w/ " + unit + ".timer; systemctl daemon-reload", cause: "-OnUnitActiveSec=52w"}},
				{both: true, broken: broken{name: "edited and not loaded", setup: "sed -i s/audit$/version/ " + unit + ".service", cause: "holdfastd version"}},
				{broken: broken{name: "told of another site file", setup: "sed -i s/anna/berta/ /etc/holdfast/audit.json", cause: `"name": "anna"`}},
				{both: true, broken: broken{
					name: "a drop-in that starts something else", stays: true, cause: "systemd will start the daily audit",
					setup: "mkdir " + unit + ".service.d; printf '[Service]\\nExecStart=\\nExecStart=/bin/true\\n' >" + unit + ".service.d/x.conf; systemctl daemon-reload",
				}},
				{broken: broken{
					name: "a drop-in that starts nothing", stays: true, cause: "systemd will start the daily audit",
					setup: "mkdir " + unit + ".timer.d; printf '[Timer]\\nOnActiveSec=\\nOnUnitActiveSec=\\nOnBootSec=1ms\\nRandomizedDelaySec=0\\nAccuracySec=1ms\\n' >" + unit + ".timer.d/x.conf; systemctl daemon-reload; systemctl restart holdfast-audit.timer; sleep 1",
				}},
				{broken: broken{
					name: "the program is gone", stays: true, cause: "the program of the daily audit is there and runs", setup: "rm -r /usr/local/lib/holdfast/x",
				}},
				{broken: broken{
					name: "the audits fail", stays: true, cause: "the last run: exit-code",
					setup: "cp /bin/false /usr/local/lib/holdfast/x/holdfastd; systemctl start holdfast-audit.service || true; cp /bin/true /usr/local/lib/holdfast/x/holdfastd",
				}},
			} {
				if suite != lab.DefaultSuite && !b.both && os.Getenv("HOLDFAST_SOAK") == "" {
					continue
				}
				b.controls = c
				t.Run(b.name, func(t *testing.T) {
					defer func() {
						shell(t, s, "systemctl stop holdfast-audit.timer 2>/dev/null || true;"+restore+"; systemctl daemon-reload; systemctl reset-failed;"+standIn)
					}()
					if !b.fresh {
						inServer(t, s, job{Do: "apply", Controls: c, Config: accountsConfig})
					}
					mend(t, s, b.broken)
				})
			}
			t.Run("undone", func(t *testing.T) {
				before := snapshot(t, s)
				j := job{Do: "apply", Controls: c, Config: accountsConfig}
				j.Done = inServer(t, s, j).Done
				j.Do = "audit"
				if verdict, said := summary(inServer(t, s, j).Results); verdict != server.Pass {
					t.Errorf("the audit says %s:\n%s", verdict, said)
				}
				j.Do = "undo"
				inServer(t, s, j)
				if d := before.Diff(snapshot(t, s)); len(d) > 0 {
					t.Errorf("undo did not give back the server: %s", d)
				}
				if got := shell(t, s, "systemctl show --property=LoadState,ActiveState holdfast-audit.timer"); got != "LoadState=not-found\nActiveState=inactive\n" {
					t.Errorf("after undo systemd says %s", got)
				}
			})
		})
	}
}
