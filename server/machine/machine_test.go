//go:build linux

package machine_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/machine"
)

func TestMain(m *testing.M) {
	if machine.ServeWorld(os.Args) {
		return
	}
	switch {
	case os.Getenv(parentEnv) != "":
		beParent()
	case os.Getenv(auditEnv) != "":
		tryAudit()
	case os.Getenv(belowEnv) != "":
		if err := lookBelow(os.Getenv(belowEnv)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

func TestConformance(t *testing.T) {
	needRoot(t)
	hosttest.TestHost(t, func(*testing.T) server.Host { return machine.New() })
}

func TestFactsOfThisMachine(t *testing.T) {
	f, err := machine.ReadFacts(t.Context(), machine.New())
	if os.Getenv(onServer) == "" {
		t.Logf("%+v, %v", f, err) // whatever this machine is
		return
	}
	if err != nil || !f.Tested || !f.Booted || f.OpenSSH == "" || f.Systemd == "" || f.Virtualization != "systemd-nspawn" {
		t.Errorf("%+v, %v", f, err)
	}
}

// onServer is set where TestOnServers runs these tests on a server of the lab.
const onServer = "HOLDFAST_TEST_ON_SERVER"

// needRoot says that the test needs root, which tests have where they must run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
		t.Fatal("this test needs root")
	}
	t.Skip("this test needs root")
}
