package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// lynis compares an audit with that of lynis on the same server.
func (b *bench) lynis(ctx context.Context) error {
	if err := b.install(ctx, "lynis"); err != nil {
		return err
	}
	var trips int
	audit, err := timed(b.runs, func() (time.Duration, error) {
		c, err := b.desk(ctx, "audit", "-v", first)
		trips = c.trips
		return c.wall, err
	})
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := b.inside(ctx, "lynis", "audit", "system", "--quick", "--no-colors"); err != nil {
		return err
	}
	lynis := time.Since(start)
	ratio := lynis.Seconds() / audit.Seconds()
	b.table.add(row{
		what: "audit of one server, from the desk", figure: seconds(audit), target: "≤ 0.6 s", ok: audit <= 600*time.Millisecond,
	}, row{
		what: "  beside lynis --quick, on the server itself", figure: seconds(audit), beside: seconds(lynis), ratio: times(ratio) + " faster",
		target: "≥ 50 ×", ok: ratio >= 50,
	}, row{what: "  round trips", figure: count(trips)})
	return nil
}

// recap is Ansible's summary of one server.
var recap = regexp.MustCompile(`ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)`)

// ansible compares an apply that has nothing to change with a playbook that has
// nothing to change.
func (b *bench) ansible(ctx context.Context) error {
	apply, err := b.holdfastTime(ctx, b.runs, "apply", "--yes", first)
	if err != nil {
		return err
	}
	// Ansible's modules are programs of Python, which the servers lack.
	if err := b.install(ctx, "python3", "python3-apt"); err != nil {
		return err
	}
	argv, err := b.playbook()
	if err != nil {
		return err
	}
	tasks := ""
	play, err := timed(2, func() (time.Duration, error) {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir = b.dir
		cmd.Env = append(b.environment(), "ANSIBLE_PIPELINING=1", "ANSIBLE_HOST_KEY_CHECKING=0", "ANSIBLE_NOCOLOR=1",
			"ANSIBLE_SSH_ARGS=-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null",
			"ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3", "ANSIBLE_HOME="+b.dir)
		start := time.Now()
		out, err := cmd.CombinedOutput()
		d := time.Since(start)
		found := recap.FindStringSubmatch(string(out))
		if err != nil || found == nil {
			return 0, fmt.Errorf("ansible-playbook: %w\n%s", err, out)
		}
		if found[2] != "0" {
			return 0, fmt.Errorf("the playbook has changed %s things: it does not want what holdfast wants\n%s", found[2], out)
		}
		tasks = found[1]
		return d, nil
	})
	if err != nil {
		return err
	}
	ratio := play.Seconds() / apply.Seconds()
	b.table.add(row{
		what: "apply with nothing to change, one server", figure: seconds(apply), target: "≤ 0.8 s", ok: apply <= 800*time.Millisecond,
	}, row{
		what: "  beside Ansible, " + tasks + " tasks, nothing changed", figure: seconds(apply), beside: seconds(play), ratio: times(ratio) + " faster",
		target: "≥ 15 ×", ok: ratio >= 15,
	})
	return nil
}

// playbook prepares what Ansible needs and returns its command.
func (b *bench) playbook() ([]string, error) {
	s, err := b.lab.Server(first)
	if err != nil {
		return nil, err
	}
	files := filepath.Join(b.dir, "files")
	if err := os.MkdirAll(files, 0o700); err != nil {
		return nil, err
	}
	for _, path := range []string{
		"/etc/security/pwquality.conf.d/50-holdfast.conf", "/etc/sudoers.d/zz-holdfast", "/home/alice/.ssh/authorized_keys",
		"/etc/ssh/sshd_config.d/00-holdfast-keys-only.conf", "/etc/ssh/sshd_config.d/00-holdfast-no-root.conf",
		"/etc/ssh/sshd_config.d/00-holdfast-algorithms.conf", "/etc/ssh/sshd_config.d/00-holdfast-sessions.conf",
	} {
		content, err := os.ReadFile(filepath.Join(s.Root(), path))
		if err != nil {
			return nil, fmt.Errorf("the playbook is not what holdfast does: %w", err)
		}
		if err := os.WriteFile(filepath.Join(files, filepath.Base(path)), content, 0o600); err != nil {
			return nil, err
		}
	}
	// Ansible learns the password for sudo from a file of its own desk.
	secret, err := b.adminPassword()
	if err != nil {
		return nil, err
	}
	become := filepath.Join(b.dir, "become")
	if err := os.WriteFile(become, []byte(secret), 0o600); err != nil {
		return nil, err
	}
	book, err := filepath.Abs("bench/audit/playbook.yml")
	if err != nil {
		return nil, err
	}
	return []string{
		"ansible-playbook", "-i", s.Addr4().String() + ",", "-u", "alice", "--private-key", filepath.Join(b.site(), "alice"),
		"--become-password-file", become, "-e", "files=" + files, book,
	}, nil
}

// three compares three servers with one, side by side.
func (b *bench) three(ctx context.Context) error { return b.compare(ctx, "", b.runs) }

func (b *bench) compare(ctx context.Context, how string, runs int) error {
	one, err := b.holdfastTime(ctx, runs, "audit", first)
	if err != nil {
		return err
	}
	three, err := b.holdfastTime(ctx, runs, "audit")
	if err != nil {
		return err
	}
	ratio := three.Seconds() / one.Seconds()
	b.table.add(row{
		what: "audit of three servers" + how, figure: seconds(three), beside: seconds(one) + " for one", ratio: times(ratio),
		target: "≤ 1.5 ×", ok: ratio <= 1.5,
	})
	return nil
}

// roundTrip is what the delay adds.
const roundTrip = 100 * time.Millisecond

// delay measures over a slow network.
func (b *bench) delay(ctx context.Context) error {
	for _, s := range b.lab.Servers() {
		if err := s.Delay(ctx, roundTrip); err != nil {
			return err
		}
	}
	var trips int
	one, err := timed(3, func() (time.Duration, error) {
		c, err := b.desk(ctx, "audit", "-v", first)
		trips = c.trips
		return c.wall, err
	})
	if err != nil {
		return err
	}
	b.table.add(row{
		what: "audit of one server, 100 ms of round trip added", figure: seconds(one), target: "≤ 2.5 s", ok: one <= 2500*time.Millisecond,
		beside: fmt.Sprintf("%d round trips", trips),
	})
	if err := b.compare(ctx, ", 100 ms of round trip added", 3); err != nil {
		return err
	}
	for _, s := range b.lab.Servers() {
		if err := s.Delay(ctx, 0); err != nil {
			return err
		}
	}
	return nil
}
