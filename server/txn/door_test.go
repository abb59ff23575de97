package txn_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/txn"
)

// gate is the door of a machine in memory: it is shut if sshd's configuration
// says so, if its main file is gone, or if a program is broken.
type gate struct{}

const brokenProgram = "/usr/broken"

func (gate) Ways(ctx context.Context, r server.Reader) ([]string, error) {
	if _, err := r.Read(ctx, "/etc/ssh/sshd_config"); err != nil {
		return nil, err
	}
	if _, err := r.Read(ctx, brokenProgram); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files, err := r.Glob(ctx, "/etc/ssh/sshd_config.d/*")
	if err != nil {
		return nil, err
	}
	for _, p := range files {
		if e, err := r.Read(ctx, p); err != nil || strings.Contains(e.Content, "AllowGroups nobody") {
			return nil, err
		}
	}
	return []string{"root on port 22"}, nil
}

func (gate) Config(context.Context, server.Reader) (string, error) {
	return "ListenAddress 0.0.0.0:22\n", nil
}

const (
	lastUnit   = "/etc/systemd/system/holdfast-last-resort.service"
	lastConfig = "/var/lib/holdfast/last-resort/sshd_config"
)

// shutDoor applies, lets somebody else do something, rolls back, and looks.
func shutDoor(t *testing.T, foreign func(m *memory), look func(b *bench, id, before string, err error)) {
	inBubble(t, func(b *bench) {
		for _, p := range []string{
			"/etc/systemd", "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants", "/var/lib/holdfast",
		} {
			b.m.files[p] = dir(0o755)
		}
		b.door = gate{}
		b.open()
		before := b.m.String()
		id := b.applied(b.begin("r1"))
		b.m.mu.Lock()
		foreign(b.m)
		b.m.mu.Unlock()
		look(b, id, before, b.j.Rollback(b.ctx, id, "the window has passed"))
	})
}

func TestForeignFilesThatShutTheDoorAreMovedAside(t *testing.T) {
	for _, c := range []struct {
		name, kept string
		foreign    func(m *memory)
	}{
		{"a drop-in", "/etc/ssh/sshd_config.d/zz-foreign", func(m *memory) {
			m.files["/etc/ssh/sshd_config.d/zz-foreign"] = file("AllowGroups nobody\n")
		}},
		{"an edited file", "/etc/ssh/sshd_config.d/50-a", func(m *memory) {
			m.files["/etc/ssh/sshd_config.d/50-a"] = file("AllowGroups nobody\n")
		}},
		{"the main file deleted", "/etc/ssh/sshd_config", func(m *memory) { delete(m.files, "/etc/ssh/sshd_config") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			shutDoor(t, c.foreign, func(b *bench, id, before string, err error) {
				if err != nil {
					b.Error(err)
				}
				b.want(id, txn.RolledBack)
				b.wantHost(before)
				if _, why, err := b.j.State(id); err != nil || !strings.Contains(why, "kept aside: "+c.kept) {
					b.Errorf("the reason %q, %v does not name %s", why, err, c.kept)
				}
				if log := b.log(id); !strings.Contains(log, c.kept+" was in the way") || !strings.Contains(log, "/kept"+c.kept) {
					b.Errorf("the log does not say what was moved aside:\n%s", log)
				}
			})
		})
	}
}

func TestForeignFilesThatShutNoDoorStay(t *testing.T) {
	const p = "/etc/ssh/sshd_config.d/zz-foreign"
	shutDoor(t, func(m *memory) { m.files[p] = file("Banner none\n") }, func(b *bench, id, _ string, err error) {
		if err != nil {
			b.Error(err)
		}
		b.want(id, txn.RolledBack)
		if _, ok := b.m.files[p]; !ok {
			b.Error("it was removed")
		}
	})
}

func TestLastResort(t *testing.T) {
	breakProgram := func(m *memory) { m.files[brokenProgram] = file("") }
	shutDoor(t, breakProgram, func(b *bench, id, before string, err error) {
		if err == nil || !strings.Contains(err.Error(), "NOBODY COULD LOG IN") {
			b.Errorf("error %v", err)
		}
		if s, why, err := b.j.State(id); err != nil || s != txn.RollbackFailed || !strings.Contains(why, "NOBODY COULD LOG IN") {
			b.Errorf("state %s, %q, %v", s, why, err)
		}
		config := b.m.files[lastConfig].Content
		for _, want := range []string{"ListenAddress 0.0.0.0:22\n", "UsePAM no\n"} {
			if !strings.Contains(config, want) {
				b.Errorf("the last resort's configuration lacks %q:\n%s", want, config)
			}
		}
		if strings.Contains(config, "Include") {
			b.Errorf("the last resort's configuration depends on other files:\n%s", config)
		}
		if unit := b.m.files[lastUnit].Content; !strings.Contains(unit, lastConfig) {
			b.Errorf("the unit is\n%s", unit)
		} else if want := "nft insert rule inet holdfast input tcp dport { 22 } accept\n"; !strings.Contains(unit, want) {
			b.Errorf("our firewall does not admit the last resort: the unit lacks %q:\n%s", want, unit)
		}
		// A person puts things right and takes over.
		b.m.mu.Lock()
		delete(b.m.files, brokenProgram)
		b.m.mu.Unlock()
		if _, err := b.j.Unlock(b.ctx, "ann"); err != nil {
			b.Error(err)
		}
		b.wantHost(before)
	})
}
