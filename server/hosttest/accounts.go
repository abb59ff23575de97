package hosttest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// accountPrograms imitate the tools of shadow 4.13 and 4.17 as Debian builds
// them: useradd, usermod, userdel, chpasswd with and without -e, chage -d, pkill,
// which finds nobody, and mv.
func accountPrograms() map[string]Program {
	return map[string]Program{
		"useradd": useradd, "usermod": usermod, "userdel": userdel, "chpasswd": chpasswd, "chage": chage,
		"pkill": pkill, "mv": mv,
	}
}

// day is today as /etc/shadow counts.
func day() string { return strconv.FormatInt(time.Now().Unix()/(24*60*60), 10) }

// edit changes the fields of one line of a colon-separated file.
func (h *Host) editLine(file, name string, change func(fields []string)) bool {
	found := false
	h.edit(file, func(content string) string {
		lines := strings.Split(content, "\n")
		for i, line := range lines {
			if fields := strings.Split(line, ":"); fields[0] == name {
				found = true
				change(fields)
				lines[i] = strings.Join(fields, ":")
				break
			}
		}
		return strings.Join(lines, "\n")
	})
	return found
}

func (h *Host) appendLine(file, line string) {
	h.edit(file, func(content string) string { return content + line + "\n" })
}

func (h *Host) dropLine(file, name string) {
	h.edit(file, func(content string) string {
		var kept strings.Builder
		for line := range strings.Lines(content) {
			if !strings.HasPrefix(line, name+":") {
				kept.WriteString(line)
			}
		}
		return kept.String()
	})
}

// hasLine reports whether a file has a line for name.
func (h *Host) hasLine(file, name string) bool {
	return strings.HasPrefix(h.Content(file), name+":") || strings.Contains(h.Content(file), "\n"+name+":")
}

// freeID is the first number from 1000 that no line of a file has.
func (h *Host) freeID(file string) int {
	id := 1000
	for line := range strings.Lines(h.Content(file)) {
		if fields := strings.Split(line, ":"); len(fields) > 2 {
			if n, _ := strconv.Atoi(fields[2]); n >= id && n < 60000 {
				id = n + 1
			}
		}
	}
	return id
}

// setGroups changes which groups list an account.
func (h *Host) setGroups(name string, member func(group string, is bool) bool) {
	for _, file := range []string{"/etc/group", "/etc/gshadow"} {
		h.edit(file, func(content string) string {
			lines := strings.Split(content, "\n")
			for i, line := range lines {
				fields := strings.Split(line, ":")
				if len(fields) != 4 {
					continue
				}
				members := slices.DeleteFunc(strings.Split(fields[3], ","), func(m string) bool { return m == "" })
				is := slices.Contains(members, name)
				if want := member(fields[0], is); want && !is {
					members = append(members, name)
				} else if !want {
					members = slices.DeleteFunc(members, func(m string) bool { return m == name })
				}
				fields[3] = strings.Join(members, ",")
				lines[i] = strings.Join(fields, ":")
			}
			return strings.Join(lines, "\n")
		})
	}
}

// options reads argv as getopt would, with the letters that take a value.
func options(argv []string, valued string) (values map[string]string, rest []string) {
	values = map[string]string{}
	for i := 1; i < len(argv); i++ {
		switch {
		case !strings.HasPrefix(argv[i], "-") || argv[i] == "-":
			rest = append(rest, argv[i])
		case strings.ContainsAny(argv[i][len(argv[i])-1:], valued) && i+1 < len(argv):
			for _, letter := range argv[i][1:] {
				values[string(letter)] = argv[i+1]
			}
			i++
		default:
			for _, letter := range argv[i][1:] {
				values[string(letter)] = ""
			}
		}
	}
	return values, rest
}

// knows fails the test if an option is not imitated.
func (h *Host) knows(argv []string, values map[string]string, letters string) {
	for _, letter := range slices.Sorted(maps.Keys(values)) {
		if !strings.Contains(letters, letter) {
			h.t.Errorf("the imitated %s does not know -%s in %q", argv[0], letter, argv)
		}
	}
}

func (h *Host) missingGroup(list string) string {
	for g := range strings.SplitSeq(list, ",") {
		if g != "" && !h.hasLine("/etc/group", g) {
			return g
		}
	}
	return ""
}

func useradd(_ context.Context, h *Host, _ string, argv []string) (string, error) {
	v, rest := options(argv, "dsKGkg")
	h.knows(argv, v, "mMdUsKG")
	name := rest[0]
	switch {
	case h.hasLine("/etc/passwd", name):
		return "", Exit{9, "useradd: user '" + name + "' already exists\n"}
	case h.hasLine("/etc/group", name):
		return "", Exit{9, "useradd: group " + name + " exists - if you want to add this user to that group, use -g.\n"}
	case h.missingGroup(v["G"]) != "":
		return "", Exit{6, "useradd: group '" + h.missingGroup(v["G"]) + "' does not exist\n"}
	}
	uid, gid, home := h.freeID("/etc/passwd"), h.freeID("/etc/group"), v["d"]
	h.appendLine("/etc/passwd", fmt.Sprintf("%s:x:%d:%d::%s:%s", name, uid, gid, home, v["s"]))
	h.appendLine("/etc/shadow", name+":!:"+day()+":0:99999:7:::")
	h.appendLine("/etc/group", fmt.Sprintf("%s:x:%d:", name, gid))
	h.appendLine("/etc/gshadow", name+":!::")
	groups := strings.Split(v["G"], ",")
	h.setGroups(name, func(g string, is bool) bool { return is || slices.Contains(groups, g) })
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if h.Exists(file) {
			h.appendLine(file, fmt.Sprintf("%s:%d:65536", name, 100000+65536*(uid-1000)))
		}
	}
	if _, make := v["m"]; make && !h.Exists(home) {
		mode, _ := strconv.ParseUint(strings.TrimPrefix(v["K"], "HOME_MODE="), 8, 32)
		h.putOwned(home, name, fs.ModeDir|fs.FileMode(mode), "")
		for from, e := range h.below("/etc/skel") {
			h.putOwned(path.Join(home, strings.TrimPrefix(from, "/etc/skel")), name, e.Mode, e.Content)
		}
	}
	return "", nil
}

func usermod(_ context.Context, h *Host, _ string, argv []string) (string, error) {
	v, rest := options(argv, "sGp")
	h.knows(argv, v, "saGp")
	name := rest[0]
	switch {
	case !h.hasLine("/etc/passwd", name):
		return "", Exit{6, "usermod: user '" + name + "' does not exist\n"}
	case h.missingGroup(v["G"]) != "":
		return "", Exit{6, "usermod: group '" + h.missingGroup(v["G"]) + "' does not exist\n"}
	}
	if shell, set := v["s"]; set {
		h.editLine("/etc/passwd", name, func(f []string) { f[6] = shell })
	}
	if hash, set := v["p"]; set {
		h.editLine("/etc/shadow", name, func(f []string) { f[1], f[2] = hash, day() })
	}
	if list, set := v["G"]; set {
		groups := strings.Split(list, ",")
		_, add := v["a"] // -aG
		h.setGroups(name, func(g string, is bool) bool { return add && is || slices.Contains(groups, g) })
	}
	return "", nil
}

func userdel(_ context.Context, h *Host, _ string, argv []string) (string, error) {
	v, rest := options(argv, "")
	h.knows(argv, v, "r")
	name := rest[0]
	home := ""
	if !h.editLine("/etc/passwd", name, func(f []string) { home = f[5] }) {
		return "", Exit{6, "userdel: user '" + name + "' does not exist\n"}
	}
	for _, file := range []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"} {
		h.dropLine(file, name)
	}
	h.setGroups(name, func(string, bool) bool { return false })
	if _, remove := v["r"]; remove {
		h.Delete(home)
	}
	return "", nil
}

func chpasswd(_ context.Context, h *Host, stdin string, argv []string) (string, error) {
	v, _ := options(argv, "")
	h.knows(argv, v, "e")
	name, password, ok := strings.Cut(strings.TrimSuffix(stdin, "\n"), ":")
	if !ok || strings.Contains(password, "\n") {
		return "", Exit{1, "chpasswd: line 1: missing new password\n"}
	}
	if _, encrypted := v["e"]; !encrypted {
		if len(password) < 8 {
			return "", Exit{1, "BAD PASSWORD: The password is shorter than 8 characters\n" +
				"chpasswd: (user " + name + ") pam_chauthtok() failed, error:\nAuthentication token manipulation error\n" +
				"chpasswd: (line 1, user " + name + ") password not changed\n"}
		}
		sum := sha256.Sum256([]byte(name + "\x00" + password))
		password = "$y$j9T$salt$" + hex.EncodeToString(sum[:16])
	}
	if !h.editLine("/etc/shadow", name, func(f []string) { f[1], f[2] = password, day() }) {
		return "", Exit{1, "chpasswd: line 1: user '" + name + "' does not exist\n"}
	}
	return "", nil
}

func chage(_ context.Context, h *Host, _ string, argv []string) (string, error) {
	if len(argv) != 4 || argv[1] != "-d" {
		h.t.Errorf("the imitated chage does not know %q", argv)
		return "", Exit{2, "usage"}
	}
	date := argv[2]
	if date == "-1" {
		date = ""
	}
	if !h.editLine("/etc/shadow", argv[3], func(f []string) { f[2] = date }) {
		return "", Exit{1, "chage: user '" + argv[3] + "' does not exist in /etc/passwd\n"}
	}
	return "", nil
}

// pkill says that there is no process to end.
func pkill(context.Context, *Host, string, []string) (string, error) { return "", Exit{Status: 1} }

// mv moves a tree to a place where nothing is.
func mv(_ context.Context, h *Host, _ string, argv []string) (string, error) {
	n := len(argv)
	if n < 4 || argv[n-3] != "-T" || !h.Exists(argv[n-2]) || h.Exists(argv[n-1]) {
		h.t.Errorf("the imitated mv cannot do %q", argv)
		return "", Exit{1, "usage"}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	from, to := argv[n-2], argv[n-1]
	for p, e := range maps.Clone(h.entries) {
		if p == from || strings.HasPrefix(p, from+"/") {
			h.touch(to+strings.TrimPrefix(p, from), e)
		}
	}
	h.drop(from)
	return "", nil
}
