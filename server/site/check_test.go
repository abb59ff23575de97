package site_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/site"
)

// A problemCase is the good file with old replaced by new, or a whole file.
type problemCase struct {
	name, old, new, whole string
	// want are the lines and parts of the problems, all of them.
	want []wantProblem
	// byLoad says that a schema cannot tell.
	byLoad bool
}

type wantProblem struct {
	line          int
	what, instead string
}

func one(line int, what, instead string) []wantProblem {
	return []wantProblem{{line, what, instead}}
}

func problemCases() []problemCase {
	return slices.Concat(structureCases(), nameCases(), keyCases(), serverCases(), jumpCases(), lossCases(), exceptionCases(), firewallCases(), factorCases())
}

func structureCases() []problemCase {
	return []problemCase{
		{name: "empty", whole: "\n# nothing\n", want: one(1, "the file is empty", "site: shop"), byLoad: true},
		{name: "not YAML", old: "passwords: guide", new: "passwords: guide: nist", want: one(9, "not YAML", "key: value"), byLoad: true},
		{name: "tab", old: "    keys: [keys/alice.pub]", new: "\tkeys: [keys/alice.pub]", want: one(4, "not YAML", "indentation"), byLoad: true},
		{name: "open bracket", old: "roles: [database]", new: "roles: [database", want: one(16, "not YAML", ""), byLoad: true},
		{name: "not UTF-8", old: "guide", new: "\xff", want: one(1, "not YAML", ""), byLoad: true},
		{name: "second document", old: "passwords", new: "---\npasswords", want: []wantProblem{{1, "servers is missing", "servers:"}, {9, "a second document", "without ---"}}, byLoad: true},
		{name: "a list", whole: "- site: shop\n", want: one(1, "the file must be keys with values and is a list", "site: shop")},
		{name: "text", whole: "shop\n", want: one(1, "the file must be keys with values and is text", "site: shop")},
		{name: "unknown key", old: "passwords: guide", new: "colour: red", want: one(9, `the key "colour" is unknown`, "site, admins, break_glass, passwords, second_factor, automation, firewall, admin_networks, application_ports, redirects, database_ports, rules, egress, servers, loses_access, exceptions, secrets")},
		{name: "misspelled key", old: "address: 192", new: "adress: 192", want: one(13, `the key "adress" is unknown`, "write address")},
		{name: "misspelled role key", old: "role: app", new: "rolle: app", want: one(12, `the key "rolle" is unknown`, "write role")},
		{name: "key of another level", old: "break_glass: {account: rescue}", new: "port: 22", want: one(8, `the key "port" is unknown`, "")},
		{name: "a list as key", old: "passwords: guide", new: "[a]: b", want: one(9, "a key must be text and is a list", "write one of"), byLoad: true},
		{name: "duplicate key", old: "    jump: app-1", new: "    port: 23", want: one(18, "port stands here a second time, first in line 17", "once"), byLoad: true},
		{name: "text for a number", old: "port: 22", new: `port: "22"`, want: one(17, "port must be a whole number and is text", "port: 22")},
		{name: "fraction for a number", old: "port: 22", new: "port: 2.5", want: one(17, "port must be a whole number and is a number with a fraction", "port: 22")},
		{name: "hexadecimal", old: "port: 22", new: "port: 0x16", want: one(17, "plain decimal", "port: 22"), byLoad: true},
		{name: "too big", old: "port: 22", new: "port: 99999999999999999999", want: one(17, "port must be a whole number", "port: 22")},
		{name: "number for text", old: "name: alice", new: "name: 42", want: one(3, "name must be text and is a number", "in quotes")},
		{name: "true for text", old: "name: alice", new: "name: true", want: one(3, "name must be text and is true or false", "in quotes")},
		{name: "date for text", old: "name: alice", new: "name: 2026-11-23", want: one(3, "name must be text and is a date", "in quotes")},
		{name: "text for a list", old: "roles: [database]", new: "roles: database", want: one(15, "roles must be a list and is text", "[application, database]")},
		{name: "list for text", old: "role: application", new: "role: [application]", want: one(12, "role must be text and is a list", "role: application")},
		{name: "keys for a list", old: "keys: [keys/alice.pub]", new: "keys: {a: b}", want: one(4, "keys must be a list and is keys with values", "keys: [")},
		{name: "text for keys", old: "{account: rescue}", new: "rescue", want: one(8, "break_glass must be keys with values and is text", "{account: rescue}")},
		{name: "number in a list", old: "[keys/alice.pub]", new: "[keys/alice.pub, 7]", want: one(4, "item 2 of keys must be text", "")},
		{name: "empty value", old: "passwords: guide", new: "passwords:", want: one(9, "passwords is empty", "or remove it")},
		{name: "alias", old: "port: 22", new: "port: *p", whole: "", want: one(17, "not YAML: unknown anchor", ""), byLoad: true},
		{name: "known alias", whole: strings.Replace(strings.Replace(good, "name: alice", "name: &a alice", 1), "account: rescue", "account: *a", 1), want: one(8, "account is an alias", "the value itself"), byLoad: true},
		{name: "merge", old: "passwords: guide", new: "<<: {passwords: guide}", want: one(9, `the key "<<" is unknown`, ""), byLoad: true},
		{name: "missing", whole: "passwords: nist\n", want: []wantProblem{{1, "site is missing", "site: shop"}, {1, "admins is missing", "admins:"}, {1, "servers is missing", "servers:"}}},
		{name: "missing below", old: "    keys: [keys/alice.pub]\n", new: "", want: one(3, `keys is missing from "alice"`, "keys: [")},
		{name: "terminal commands", old: "passwords: guide", new: `"\e[31mred": 1`, want: one(9, `the key "\x1b[31mred" is unknown`, "")},
		{name: "a long value", old: "passwords: guide", new: "passwords: " + strings.Repeat("hunter2-", 20), want: one(9, `"hunter2-" and more`, "guide")},
	}
}

func nameCases() []problemCase {
	cases := []problemCase{
		{name: "no site name", old: "site: shop", new: `site: ""`, want: one(1, "not a host name", "site: shop")},
		{name: "site with a space", old: "site: shop", new: "site: My Shop", want: one(1, "not a host name", "site: my-shop")},
		{name: "no admin", whole: "site: a\nadmins: []\nservers: [{name: b, role: application, address: b}]\n", want: one(2, "there is no admin", "admins:")},
		{name: "duplicate admin", old: "name: carol", new: "name: alice", want: one(5, `the admin "alice" stands here a second time, first in line 3`, "another name"), byLoad: true},
		{name: "duplicate server", old: "name: db-1", new: "name: app-1", want: []wantProblem{{14, `the server "app-1" stands here a second time, first in line 11`, "another name"}, {18, "the server is its own jump", ""}}, byLoad: true},
		{name: "unknown rules", old: "passwords: guide", new: "passwords: weak", want: one(9, `no password rules "weak"`, "guide or passwords: nist")},
		{name: "break-glass is an admin", old: "account: rescue", new: "account: alice", want: one(8, "must not depend on one", "rescue"), byLoad: true},
		{name: "break-glass is root", old: "account: rescue", new: "account: root", want: one(8, `"root" is an account or a group of the system itself`, "rescue")},
		{name: "nothing in break-glass", old: "{account: rescue}", new: "{}", want: one(8, "names no way in", "{account: rescue}")},
	}
	for _, bad := range []string{"Alice", "al ice", "1alice", "-alice", "_alice", "alice$", "alice.b", "älice", strings.Repeat("a", 33)} {
		cases = append(cases, problemCase{name: "admin " + bad, old: "name: alice", new: "name: " + bad, want: one(3, "not an account name that useradd accepts", "name: ")})
	}
	for _, bad := range []string{"root", "daemon", "sudo", "nobody", "www-data", "systemd-network", "sshd", "adm"} {
		cases = append(cases, problemCase{name: "admin " + bad, old: "name: alice", new: "name: " + bad, want: one(3, "of the system itself", "name: alice")})
	}
	for _, bad := range []string{"App_1", "-app", "app-", "app..b", ".app", strings.Repeat("a", 64), "app 1"} {
		cases = append(cases, problemCase{name: "server " + bad, whole: strings.ReplaceAll(good, "app-1", bad), want: one(11, "not a host name", "name: app")})
	}
	return append(cases, problemCase{name: "server 192.0.2.1", whole: strings.ReplaceAll(good, "app-1", "192.0.2.1"), want: one(11, "is an address or ends like one", "name: app-1")})
}

func firewallCases() []problemCase {
	line := func(name, text, what, instead string, byLoad bool) problemCase {
		return problemCase{name: name, old: "passwords: guide", new: text, want: one(9, what, instead), byLoad: byLoad}
	}
	return []problemCase{
		line("another firewall", "firewall: ufw", `there is no firewall "ufw"`, "holdfast, take-over, provider", false),
		line("no admin network", "admin_networks: []", "names no network", "192.0.2.0/24", false),
		line("an address for a network", "admin_networks: [192.0.2.1]", "an address and not a network", "192.0.2.1/32", true),
		line("admins everywhere", "admin_networks: [0.0.0.0/0]", "the whole internet", "192.0.2.0/24", true),
		line("application port 0", "application_ports: [0]", "not between 1 and 65535", "write 80", false),
		line("database port 65536", "database_ports: [3306, 65536]", "not between 1 and 65535", "write 80", false),
		line("redirect to itself", "redirects: [{from: 80, to: 80}]", "leads to itself", "another port", true),
		line("redirect twice", "redirects: [{from: 80, to: 81}, {from: 80, to: 82}]", "a second time", "", true),
		line("redirect of SSH", "redirects: [{from: 22, to: 3000}]", `sshd of "app-1" listens on this port`, "nobody could log in", true),
		line("redirect to nowhere", "redirects: [{from: 80}]", "to is missing", "to: 3000", false),
		line("rule for ICMP", "rules: [{protocol: icmp, port: 8}]", `there are no ports of "icmp"`, "tcp", false),
		line("rule without port", "rules: [{protocol: tcp}]", "port is missing", "port: 9100", false),
		line("range backwards", "rules: [{protocol: tcp, port: 9, to: 8}]", "ends before it begins", "from 9 on", true),
		line("rule from nowhere", "rules: [{protocol: tcp, port: 9, sources: []}]", "sources is empty", "or remove it", false),
		line("rule from a stranger", "rules: [{protocol: tcp, port: 9, sources: [web-1]}]", `"web-1" is no address, no network and no server`, "", true),
		line("rule for a stranger", "rules: [{protocol: tcp, port: 9, servers: [web-1]}]", `there is no server "web-1"`, "app-1, db-1", true),
		line("outgoing to host bits", "egress: [{protocol: udp, port: 9, destinations: [10.0.0.1/8]}]", "is no address, no network", "", true),
		{
			name: "a source with a name for an address", old: "address: 192.0.2.10", new: "address: app.example.com",
			want: one(13, `the firewall of "db-1" has to admit this server`, "private: 10.0.0.5"), byLoad: true,
		},
		{
			name: "IPv4 as private6", old: "    jump: app-1", new: "    jump: app-1\n    private6: 10.0.0.6",
			want: one(19, "private6 is an IPv4 address", "as private"), byLoad: true,
		},
	}
}

func serverCases() []problemCase {
	address := func(name, text, what, instead string, byLoad bool) problemCase {
		return problemCase{name: name, old: "address: 192.0.2.10", new: "address: " + text, want: one(13, what, instead), byLoad: byLoad}
	}
	return []problemCase{
		{name: "no server", whole: "site: a\nadmins: [{name: alice, keys: [keys/alice.pub]}]\nservers: []\n", want: one(3, "there is no server", "servers:")},
		{name: "no role", old: "    role: application\n", new: "", want: one(11, `no role from "app-1"`, "role: application")},
		{name: "unknown role", old: "role: application", new: "role: web", want: one(12, `there is no role "web"`, "application, database, backup")},
		{name: "misspelled role", old: "[database]", new: "[databse]", want: one(15, `there is no role "databse"`, "write database")},
		{name: "empty roles", old: "[database]", new: "[]", want: one(15, "roles is empty", "[application]")},
		{name: "role twice", old: "[database]", new: "[database, database]", want: one(15, "a second time", "once")},
		{name: "role and roles", old: "role: application", new: "role: application\n    roles: [database]", want: one(12, "role and roles both stand here", "roles:")},
		{name: "database alone", old: "role: application", new: "role: backup", want: one(15, "a server is database, but none is application", "role: application"), byLoad: true},
		{name: "backup alone", old: "[database]", new: "[backup]", want: one(15, "a server is backup, but none is database", "role: database"), byLoad: true},
		{name: "port 0", old: "port: 22", new: "port: 0", want: one(17, "not between 1 and 65535", "port: 22")},
		{name: "port 65536", old: "port: 22", new: "port: 65536", want: one(17, "not between 1 and 65535", "port: 22")},
		{name: "same address", whole: strings.NewReplacer("10.0.0.6", "192.0.2.10", "    jump: app-1\n", "", "    port: 22\n", "").Replace(good), want: one(16, `this is the address of "app-1" too`, "all its roles"), byLoad: true},
		{name: "same address, port written", whole: strings.NewReplacer("10.0.0.6", "192.0.2.10", "    jump: app-1\n", "").Replace(good), want: one(16, `this is the address of "app-1" too`, "all its roles"), byLoad: true},
		{name: "agent forwarding", old: "    jump: app-1", new: "    jump: app-1\n    agent_forwarding: sometimes", want: one(19, "agent_forwarding must be true or false and is text", "agent_forwarding: true")},
		{name: "first login", old: "    jump: app-1", new: "    jump: app-1\n    first_login: Admin User", want: one(19, "useradd", "first_login: admin-user")},
		address("with port", "192.0.2.10:22", "holds a port", "address: 192.0.2.10 and port: 22", true),
		address("v6 with port", `"[2001:db8::1]:22"`, "holds a port", "address: 2001:db8::1 and port: 22", true),
		address("brackets", `"[2001:db8::1]"`, "brackets", "address: 2001:db8::1", true),
		address("account", "debian@app.example.com", "holds an account", "first_login: debian", true),
		address("space", "app example", "neither an IP address nor a host name", "192.0.2.10", true),
		address("bad IPv4", "192.0.2.300", "neither an IP address nor a host name", "192.0.2.10", true),
		address("leading zero", "192.0.02.1", "neither an IP address nor a host name", "192.0.2.10", true),
		address("option of ssh", `"-oProxyCommand=x"`, "neither an IP address nor a host name", "", true),
		address("all", "0.0.0.0", "not the address of one machine", "", true),
		address("multicast", "ff02::1", "not the address of one machine", "", true),
		address("zone", "fe80::1%eth0", "names an interface", "", true),
		address("mapped", "::ffff:192.0.2.1", "IPv4 address written as IPv6", "address: 192.0.2.1", true),
		{name: "address6 is 4", old: "    jump: app-1", new: "    jump: app-1\n    address6: 192.0.2.3", want: one(19, "address6 is an IPv4 address", ""), byLoad: true},
		{name: "address6 is a name", old: "    jump: app-1", new: "    jump: app-1\n    address6: db.example.com", want: one(19, "address6 is not an IP address", "2001:db8::10"), byLoad: true},
		{name: "both are 6", whole: strings.Replace(good, "address: 10.0.0.6", "address: 2001:db8::1\n    address6: 2001:db8::2", 1), want: one(17, "IPv6 address already", ""), byLoad: true},
		{name: "private is a name", old: "    jump: app-1", new: "    jump: app-1\n    private: db", want: one(19, "private is not an IP address", "10.0.0.5"), byLoad: true},
	}
}

func jumpCases() []problemCase {
	jumps := func(first, second string) string {
		r := strings.NewReplacer("address: 192.0.2.10", "address: 192.0.2.10\n    jump: "+first, "jump: app-1", "jump: "+second)
		return r.Replace(good)
	}
	return []problemCase{
		{name: "unknown jump", old: "jump: app-1", new: "jump: gateway", want: one(18, `there is no server "gateway" to jump through`, "one of app-1, or remove jump"), byLoad: true},
		{name: "misspelled jump", old: "jump: app-1", new: "jump: app1", want: one(18, "there is no server", "jump: app-1"), byLoad: true},
		{name: "own jump", old: "jump: app-1", new: "jump: db-1", want: one(18, "the server is its own jump", "app-1"), byLoad: true},
		{name: "circle", whole: jumps("db-1", "app-1"), want: one(14, "jumps go in a circle: app-1 → db-1 → app-1", "remove jump"), byLoad: true},
		{
			name: "a tail on a circle", whole: jumps("db-1", "app-1") + "  - {name: web, role: application, address: 192.0.2.30, jump: db-1}\n",
			want: one(14, "jumps go in a circle", "remove jump"), byLoad: true,
		},
		{
			name: "no recipients", whole: good + "secrets: {recipients: []}\n",
			want: one(19, "nobody could read secrets.age", "age1"),
		},
		{
			name: "bad recipient", whole: good + "secrets: {recipients: [age1abc]}\n",
			want: one(19, "the age recipient does not parse", "age1"), byLoad: true,
		},
		{
			name: "no recipient", whole: good + "secrets: {recipients: [alice]}\n",
			want: one(19, "not an age recipient", "age1"),
		},
	}
}

func lossCases() []problemCase {
	loss := func(name, entry, what, instead string, byLoad bool) problemCase {
		return problemCase{name: "loss: " + name, whole: good + "loses_access:\n  - " + entry + "\n", want: one(20, what, instead), byLoad: byLoad}
	}
	return []problemCase{
		loss("unknown admin", "{name: dave, servers: [db-1], reason: left}", `there is no admin "dave"`, "write one of alice, carol", true),
		loss("misspelled admin", "{name: carl, servers: [db-1], reason: left}", `there is no admin "carl"`, "write name: carol", true),
		loss("unknown server", "{name: carol, servers: [db-1, web], reason: left}", `there is no server "web"`, "write one of app-1, db-1", true),
		loss("misspelled server", "{name: carol, servers: [db1], reason: left}", `there is no server "db1"`, "write db-1", true),
		loss("server twice", "{name: carol, servers: [db-1, db-1], reason: left}", `"db-1" stands here a second time`, "once", false),
		loss("no server", "{name: carol, servers: [], reason: left}", "servers names no server", "servers: [", false),
		loss("no reason", "{name: carol, servers: [db-1]}", `reason is missing from "carol"`, "reason: ", false),
		loss("empty reason", `{name: carol, servers: [db-1], reason: " "}`, "reason says nothing", "a few words", false),
		loss("two lines", `{name: carol, servers: [db-1], reason: "a\nb"}`, "more than one line", "in one line", true),
		loss("no date", "{name: carol, servers: [db-1], reason: left, until: soon}", "until is not a date", "until: 2027-01-31", false),
		loss("another date", "{name: carol, servers: [db-1], reason: left, until: 31.1.2027}", "until is not a date", "until: 2027-01-31", false),
		loss("no such day", `{name: carol, servers: [db-1], reason: left, until: "2027-02-30"}`, "until is not a date", "until: 2027-01-31", true),
		loss("a number as date", "{name: carol, servers: [db-1], reason: left, until: 2027}", "until must be a date and is a number", "until: 2027-01-31", false),
	}
}

func exceptionCases() []problemCase {
	off := func(name, entry, what, instead string, byLoad bool) problemCase {
		return problemCase{name: "exception: " + name, whole: good + "exceptions:\n  - " + entry + "\n", want: one(20, what, instead), byLoad: byLoad}
	}
	const rest = ", reason: x, owner: alice, until: 2027-01-31}"
	return []problemCase{
		off("unknown control", "{control: antivirus, servers: [db-1]"+rest, `there is no control "antivirus"`, "write one of ssh-sessions, root-locked", true),
		off("misspelled control", "{control: ssh-session, servers: [db-1]"+rest, `there is no control "ssh-session"`, "write control: ssh-sessions", true),
		off("empty control", `{control: "", servers: [db-1]`+rest, "control says nothing", "", false),
		off("unknown server", "{control: root-locked, servers: [web]"+rest, `there is no server "web"`, "write one of app-1, db-1", true),
		off("no server", "{control: root-locked, servers: []"+rest, "servers names no server", "servers: [", false),
		off("no servers", "{control: root-locked"+rest, "servers is missing", "servers: [", false),
		off("no reason", "{control: root-locked, servers: [db-1], owner: alice, until: 2027-01-31}", "reason is missing", "reason: ", false),
		off("no owner", "{control: root-locked, servers: [db-1], reason: x, until: 2027-01-31}", "owner is missing", "owner: ", false),
		off("empty owner", `{control: root-locked, servers: [db-1], reason: x, owner: "", until: 2027-01-31}`, "owner says nothing", "", false),
		off("no end", "{control: root-locked, servers: [db-1], reason: x, owner: alice}", "until is missing", "until: 2027-01-31", false),
		{
			name: "exception: twice", whole: good + "exceptions:\n  - {control: root-locked, servers: [db-1]" + rest + "\n  - {control: root-locked, servers: [app-1, db-1]" + rest + "\n",
			want: one(21, `the exception of "root-locked" on "db-1" stands here a second time, first in line 20`, "once"), byLoad: true,
		},
	}
}

func (c problemCase) content() string {
	if c.whole != "" {
		return c.whole
	}
	return strings.Replace(good, c.old, c.new, 1)
}

func TestProblems(t *testing.T) {
	if _, err := parse(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range problemCases() {
		t.Run(c.name, func(t *testing.T) {
			content := c.content()
			if content == good {
				t.Fatal("the case changes nothing")
			}
			_, err := parse(content)
			p := (*site.Problems)(nil)
			if !errors.As(err, &p) {
				t.Fatalf("got the error %v", err)
			}
			if len(p.List) != len(c.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(p.List), len(c.want), err)
			}
			for i, want := range c.want {
				got := p.List[i]
				if got.Line != want.line || !strings.Contains(got.What, want.what) || !strings.Contains(got.Instead, want.instead) || got.File != "testdata/holdfast.yaml" {
					t.Errorf("got  %v\nwant line %d: %s; %s", got, want.line, want.what, want.instead)
				}
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := site.Load("testdata/broken.yaml")
	p := (*site.Problems)(nil)
	if !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	var lines []int
	for _, one := range p.List {
		lines = append(lines, one.Line)
	}
	want := []int{1, 4, 5, 7, 7, 8, 9, 11, 12, 15}
	if len(lines) != len(want) {
		t.Fatalf("problems in lines %v, want %v:\n%v", lines, want, err)
	}
	for i := range want {
		if lines[i] != want[i] {
			t.Fatalf("problems in lines %v, want %v:\n%v", lines, want, err)
		}
	}
	if first, _, _ := strings.Cut(err.Error(), "\n"); first != `testdata/broken.yaml:1:7: "Shop One" is not a host name in small letters (RFC 1123); write site: shop-one` {
		t.Errorf("the first line is %q", first)
	}
}
