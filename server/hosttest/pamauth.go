package hosttest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// stacks are the files that pam-auth-update writes and the fields of a profile
// that go into them.
var stacks = []struct{ file, field, kind string }{
	{"auth", "Auth", "auth"}, {"account", "Account", "account"}, {"password", "Password", "password"},
	{"session", "Session", "session"}, {"session-noninteractive", "Session-noninteractive", "session"},
}

// pamAuthUpdate imitates pam-auth-update --package --enable of libpam-runtime
// 1.5: the Primary and the Additional block, jumps, its memory in /var/lib/pam,
// and that it leaves everything as it is if a block was edited by hand. It does
// not imitate options changed by hand, conflicts, -Initial lines and profiles
// that switch themselves on.
func pamAuthUpdate(_ context.Context, h *Host, _ string, argv []string) (string, error) {
	var enable []string
	for i := 1; i < len(argv); i++ {
		switch argv[i] {
		case "--package":
		case "--enable":
			enable = argv[i+1:]
			i = len(argv)
		default:
			h.t.Errorf("the imitated pam-auth-update does not know %q", argv)
		}
	}
	profiles := h.profiles()
	on := h.enabledProfiles()
	for _, s := range stacks {
		if block(profiles, on, s.field, s.kind) != currentBlock(h.Content("/etc/pam.d/common-"+s.file)) {
			return "", nil // it says so on standard error and exits with 0
		}
	}
	for _, name := range enable {
		if _, known := profiles[name]; known && !slices.Contains(on, name) {
			on = append(on, name)
		}
	}
	names := sorted(profiles)
	on = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(on, n) })
	h.edit("/var/lib/pam/seen", func(string) string { return strings.Join(names, "\n") + "\n" })
	for _, s := range stacks {
		h.edit("/etc/pam.d/common-"+s.file, func(old string) string {
			return strings.Replace(old, currentBlock(old), block(profiles, on, s.field, s.kind), 1)
		})
		h.edit("/var/lib/pam/"+s.file, func(string) string {
			text := ""
			for _, name := range on {
				if lines := profiles[name][s.field]; lines != "" {
					text += "Module: " + name + "\n" + lines
				}
			}
			return text
		})
	}
	return "", nil
}

// profiles reads the fields of every profile.
func (h *Host) profiles() map[string]map[string]string {
	all := map[string]map[string]string{}
	for file, e := range h.below("/usr/share/pam-configs") {
		fields, name := map[string]string{}, ""
		for line := range strings.Lines(e.Content) {
			if head, value, ok := strings.Cut(line, ":"); ok && !strings.ContainsAny(head, " \t") {
				name, fields[head] = head, strings.TrimSpace(value)
			} else {
				fields[name] += strings.TrimSpace(line) + "\n"
			}
		}
		if _, only := fields["Session-Interactive-Only"]; !only {
			fields["Session-noninteractive"] = fields["Session"]
			fields["Session-noninteractive-Type"] = fields["Session-Type"]
		}
		all[strings.TrimPrefix(file, "/usr/share/pam-configs/")] = fields
	}
	return all
}

func sorted(profiles map[string]map[string]string) []string {
	var names []string
	for name := range profiles {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		x, _ := strconv.Atoi(profiles[a]["Priority"])
		y, _ := strconv.Atoi(profiles[b]["Priority"])
		return cmp.Or(cmp.Compare(y, x), cmp.Compare(b, a))
	})
	return names
}

// enabledProfiles are those that its memory names.
func (h *Host) enabledProfiles() []string {
	var on []string
	for _, s := range stacks {
		for line := range strings.Lines(h.Content("/var/lib/pam/" + s.file)) {
			if name, ok := strings.CutPrefix(line, "Module: "); ok && !slices.Contains(on, strings.TrimSpace(name)) {
				on = append(on, strings.TrimSpace(name))
			}
		}
	}
	all := sorted(h.profiles())
	return slices.DeleteFunc(all, func(n string) bool { return !slices.Contains(on, n) })
}

const (
	blockBegin = "# here are the per-package modules (the \"Primary\" block)\n"
	blockEnd   = "# end of pam-auth-update config\n"
)

// currentBlock is what stands between the marks of a common-* file.
func currentBlock(content string) string {
	_, rest, _ := strings.Cut(content, blockBegin)
	text, _, _ := strings.Cut(rest, blockEnd)
	return text
}

// block is what the profiles that are on make of it.
func block(profiles map[string]map[string]string, on []string, field, kind string) string {
	lines := func(want string) (all []string) {
		for _, name := range on {
			if profiles[name][field+"-Type"] == want && profiles[name][field] != "" {
				all = append(all, strings.Split(strings.TrimSpace(profiles[name][field]), "\n")...)
			}
		}
		return all
	}
	text := ""
	primary := lines("Primary")
	if len(primary) == 0 {
		text += kind + "\t[default=1]\t\t\tpam_permit.so\n"
	}
	for i, line := range primary {
		text += kind + "\t" + strings.Replace(line, "=end", fmt.Sprint("=", len(primary)-i), 1) + "\n"
	}
	text += "# here's the fallback if no module succeeds\n" + kind + "\trequisite\t\t\tpam_deny.so\n" +
		kind + "\trequired\t\t\tpam_permit.so\n" +
		"# and here are more per-package modules (the \"Additional\" block)\n"
	for _, line := range lines("Additional") {
		text += kind + "\t" + line + "\n"
	}
	return text
}
