package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/site"
)

// fleet compares an audit of many hosts with `ssh HOST true` on the same, all at
// once. The hosts have an sshd and no systemd: what needs one is unknown there,
// so the figure is what reaching a host, bringing the daemon up as root and
// asking it costs, and not what a whole audit does.
func (b *bench) fleet(ctx context.Context) (err error) {
	hosts, err := b.lab.StartFleet(ctx, b.hosts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hosts.Stop(context.WithoutCancel(ctx))) }()
	bare, err := timed(3, func() (time.Duration, error) { return b.sshTrue(ctx, hosts) })
	if err != nil {
		return err
	}
	file, err := b.fleetSite(hosts)
	if err != nil {
		return err
	}
	verdicts := map[server.Verdict]int{}
	audit, err := timed(3, func() (time.Duration, error) {
		clear(verdicts)
		return b.auditFleet(ctx, file, verdicts)
	})
	if err != nil {
		return err
	}
	ratio := audit.Seconds() / bare.Seconds()
	b.table.add(row{
		what: fmt.Sprintf("audit of %d cheap hosts, all at once", b.hosts), figure: seconds(audit),
		beside: seconds(bare) + " bare ssh true", ratio: times(ratio), target: "≤ 2 ×", ok: ratio <= 2,
	}, row{
		what: "  verdicts there, without systemd", figure: fmt.Sprintf("%d pass, %d fail, %d unknown",
			verdicts[server.Pass], verdicts[server.Fail], verdicts[server.Unknown]),
	})
	return nil
}

// sshTrue logs in to every host at once with the ssh of this machine.
func (b *bench) sshTrue(ctx context.Context, hosts *lab.Fleet) (time.Duration, error) {
	errs := make([]error, len(hosts.Addrs))
	var wg sync.WaitGroup
	start := time.Now()
	for i, addr := range hosts.Addrs {
		wg.Go(func() {
			cmd := exec.CommandContext(ctx, "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
				"-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-i", b.lab.Key(), "root@"+addr.String(), "true")
			if out, err := cmd.CombinedOutput(); err != nil {
				errs[i] = fmt.Errorf("ssh %s true: %w: %s", addr, err, out)
			}
		})
	}
	wg.Wait()
	return time.Since(start), errors.Join(errs...)
}

// fleetSite writes a site file for the hosts. Their login is root's, by the
// lab's key; the admin has no account there, and no private key at this desk.
func (b *bench) fleetSite(hosts *lab.Fleet) (string, error) {
	var s strings.Builder
	fmt.Fprintf(&s, "site: fleet\nadmins: [{name: alice, keys: [%s]}]\nservers:\n", filepath.Join(b.site(), "alice.pub"))
	for i, addr := range hosts.Addrs {
		fmt.Fprintf(&s, "  - {name: host-%d, role: application, address: %s}\n", i+1, addr)
	}
	dir := filepath.Join(b.dir, "fleet")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	file := filepath.Join(dir, "holdfast.yaml")
	return file, os.WriteFile(file, []byte(s.String()), 0o600)
}

// auditFleet audits all hosts and counts the verdicts. That there are findings
// is no error here, that a host gave none is one.
func (b *bench) auditFleet(ctx context.Context, file string, verdicts map[server.Verdict]int) (time.Duration, error) {
	cmd := b.command(ctx, "audit", "--site", file, "--key", b.lab.Key(), "--accept-new-host-keys", "--output", "json")
	var errs strings.Builder
	cmd.Stderr = &errs
	start := time.Now()
	out, err := cmd.Output()
	d := time.Since(start)
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 2) {
		return 0, fmt.Errorf("holdfast audit: %w\n%s", err, errs.String())
	}
	var all []struct {
		Results []server.Result `json:"results"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return 0, fmt.Errorf("holdfast audit: %w", err)
	}
	reached := 0
	for _, one := range all {
		if len(one.Results) > 0 {
			reached++
		}
		for _, r := range one.Results {
			verdicts[r.Verdict]++
		}
	}
	if reached != b.hosts {
		return 0, fmt.Errorf("holdfast audit gave verdicts on %d of %d hosts\n%s", reached, b.hosts, errs.String())
	}
	return d, nil
}

// adminPassword is the admin's, from the desk's secrets.
func (b *bench) adminPassword() (string, error) {
	identities, err := site.Identities(filepath.Join(b.site(), "identity.txt"), nil)
	if err != nil {
		return "", err
	}
	secrets, err := site.OpenSecrets(site.SecretsPath(filepath.Join(b.site(), "holdfast.yaml")), identities)
	if err != nil {
		return "", err
	}
	password := secrets.Get(server.PasswordSecret("alice"))
	if password.IsZero() {
		return "", errors.New("the desk has no password for alice")
	}
	return password.Reveal(), nil
}
