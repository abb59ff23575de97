package site

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"

	"github.com/holdfast-security/holdfast/server"
)

// A checker finds what is wrong with values of the right type, and replaces
// keys by their text. A value that already has a problem is left out.
type checker struct {
	*document
	site     *Site
	dir      string
	controls []string          // the IDs that exceptions may name; any, if there are none
	keys     map[string]string // whose a key is, by fingerprint
	badRoles bool              // some server's roles are not known
}

func (c *checker) check() {
	c.keys = map[string]string{}
	c.name(CheckServerName, "shop", "site")
	c.admins()
	c.breakGlass()
	if n, ok := c.sound("passwords"); ok && c.site.Passwords != server.PasswordsGuide && c.site.Passwords != server.PasswordsNIST {
		c.add(n, "there are no password rules "+show(string(c.site.Passwords)), "write passwords: guide or passwords: nist")
	}
	c.servers()
	c.jumps()
	c.secondFactor()
	c.automation()
	c.rolesOfSite()
	c.losses()
	c.exceptions()
	c.firewall()
	c.recipients()
}

// name checks the name at path with rule.
func (c *checker) name(rule func(string) error, fallback string, path ...any) {
	n, ok := c.sound(path...)
	if !ok {
		return
	}
	if err := rule(n.Value); err != nil {
		c.add(n, err.Error(), "write "+path[len(path)-1].(string)+": "+suggestName(n.Value, rule, fallback))
	}
}

// notEmpty reports a list without items and whether there are any.
func (c *checker) notEmpty(length int, what, like string, path ...any) {
	if n, ok := c.sound(path...); ok && length == 0 {
		c.add(n, what, "write "+like)
	}
}

// unique reports the value at path if an earlier one in seen is the same.
func (c *checker) unique(seen map[string]int, what string, path ...any) {
	n, ok := c.sound(path...)
	if !ok {
		return
	}
	name := strings.ToLower(n.Value)
	if line, twice := seen[name]; twice {
		c.add(n, fmt.Sprintf("%s %s stands here a second time, first in line %d", what, show(n.Value), line), "write another name")
		return
	}
	seen[name] = n.Line
}

func (c *checker) admins() {
	c.notEmpty(len(c.site.Admins), "there is no admin", "admins: [{name: alice, keys: [~/.ssh/id_ed25519.pub]}]", "admins")
	seen := map[string]int{}
	for i := range c.site.Admins {
		a := &c.site.Admins[i]
		c.name(CheckAccountName, "alice", "admins", i, "name")
		c.unique(seen, "the admin", "admins", i, "name")
		c.notEmpty(len(a.Keys), "an admin without a key could not log in", "keys: [~/.ssh/id_ed25519.pub]", "admins", i, "keys")
		var lines []string
		for j, text := range a.Keys {
			lines = append(lines, c.keysAt(text, "the admin "+show(a.Name), "admins", i, "keys", j)...)
		}
		a.Keys = lines
	}
}

// keysAt returns the lines of the keys that text at path stands for.
func (c *checker) keysAt(text, owner string, path ...any) []string {
	n, ok := c.sound(path...)
	if !ok {
		return nil
	}
	keys, err := readKeys(text, c.dir)
	if e := (*KeyError)(nil); errors.As(err, &e) {
		c.add(n, e.What, e.Instead)
		return nil
	}
	var lines []string
	for _, k := range keys {
		if other, twice := c.keys[k.Fingerprint]; twice {
			c.add(n, fmt.Sprintf("the key %s is already that of %s", k.Fingerprint, other), "write each key once: a key that two share tells nobody who logged in")
			return nil
		}
		c.keys[k.Fingerprint] = owner
		lines = append(lines, k.Line)
	}
	return lines
}

func (c *checker) breakGlass() {
	b := c.site.BreakGlass
	n, ok := c.sound("break_glass")
	if b == nil || !ok {
		return
	}
	hasKey, hasFrom := c.at("break_glass", "key") != nil, c.at("break_glass", "from") != nil
	if c.at("break_glass", "account") == nil && !hasKey {
		c.add(n, "break_glass names no way in", "write break_glass: {account: rescue}, or remove it")
	}
	c.name(CheckAccountName, "rescue", "break_glass", "account")
	if i := slices.IndexFunc(c.site.Admins, func(a Admin) bool { return a.Name == b.Account }); b.Account != "" && i >= 0 {
		n, _ := c.sound("break_glass", "account")
		c.add(n, show(b.Account)+" is an admin, and break_glass must not depend on one", "write account: rescue")
	}
	if hasKey && !hasFrom {
		c.add(n, "the key of break_glass works from everywhere", "write from: [192.0.2.0/24] with the networks it may be used from")
	}
	if hasFrom && !hasKey {
		c.add(c.at("break_glass", "from"), "from has no key to restrict", "write key: as well, or remove from")
	}
	c.notEmpty(len(b.From), "from names no network", "from: [192.0.2.0/24]", "break_glass", "from")
	for i := range b.From {
		if n, ok := c.sound("break_glass", "from", i); ok {
			if what, instead := networkProblem(b.From[i]); what != "" {
				c.add(n, what, instead)
			}
		}
	}
	if keys := c.keysAt(b.Key, "break_glass", "break_glass", "key"); len(keys) == 1 {
		b.Key = keys[0]
	} else if n, ok := c.sound("break_glass", "key"); ok {
		c.add(n, "break_glass has several keys", "write one")
	}
}

func networkProblem(text string) (what, instead string) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
			return "this is an address and not a network", fmt.Sprintf("write %s/%d", ip, ip.BitLen())
		}
		return "this is not a network in CIDR notation", "write a network such as 192.0.2.0/24 or 2001:db8::/32"
	}
	switch {
	case p.Bits() == 0:
		return "this is the whole internet", "write a network that only you can be in, such as 192.0.2.0/24"
	case p != p.Masked():
		return "the address has bits outside the network", "write " + p.Masked().String()
	}
	return "", ""
}

func (c *checker) servers() {
	c.notEmpty(len(c.site.Servers), "there is no server", "servers: [{name: app-1, role: application, address: 192.0.2.10}]", "servers")
	names, ends := map[string]int{}, map[string]string{}
	for i := range c.site.Servers {
		srv := &c.site.Servers[i]
		c.name(CheckServerName, "app-1", "servers", i, "name")
		c.unique(names, "the server", "servers", i, "name")
		c.roles(i)
		c.addresses(i)
		if n, ok := c.sound("servers", i, "port"); ok && (srv.Port < 1 || srv.Port > 65535) {
			c.add(n, "port is not between 1 and 65535", "write port: 22")
		}
		c.name(CheckLoginName, "root", "servers", i, "first_login")
		n, ok := c.sound("servers", i, "address")
		if !ok {
			continue
		}
		end := fmt.Sprintf("%s %d %s", strings.ToLower(srv.Address), cmp.Or(srv.Port, defaultPort), srv.Jump)
		if other, twice := ends[end]; twice {
			c.add(n, "this is the address of "+show(other)+" too", "write one server with all its roles, or another address or port")
			continue
		}
		ends[end] = srv.Name
	}
}

func (c *checker) roles(i int) {
	srv := c.site.Servers[i]
	entry := c.at("servers", i)
	one, many := c.at("servers", i, "role"), c.at("servers", i, "roles")
	const like = "write role: application, role: database or role: backup"
	if c.bad[entry] {
		c.badRoles = true
		return
	}
	switch {
	case one == nil && many == nil && (c.meant[entry]["role"] || c.meant[entry]["roles"]):
		c.badRoles = true
	case one == nil && many == nil:
		c.badRoles = true
		c.add(entry, "no role"+called(entry), like)
	case one != nil && many != nil:
		c.add(one, "role and roles both stand here", "write roles: with all of them")
	}
	if n, ok := c.sound("servers", i, "role"); ok {
		c.role(srv.Role, n)
	}
	c.badRoles = c.badRoles || one != nil && c.bad[one] || many != nil && c.bad[many]
	c.notEmpty(len(srv.Roles), "roles is empty", "roles: [application]", "servers", i, "roles")
	for j, r := range srv.Roles {
		n, ok := c.sound("servers", i, "roles", j)
		if !ok {
			continue
		}
		if slices.Contains(srv.Roles[:j], r) {
			c.add(n, show(string(r))+" stands here a second time", "write it once")
			continue
		}
		c.role(r, n)
	}
}

func (c *checker) role(r server.Role, n *yaml.Node) {
	if slices.Contains(knownRoles(), string(r)) {
		return
	}
	c.badRoles = true
	instead := "write one of " + strings.Join(knownRoles(), ", ")
	if near := nearest(string(r), knownRoles()); near != "" {
		instead = "write " + near
	}
	c.add(n, "there is no role "+show(string(r)), instead)
}

func knownRoles() []string {
	return []string{string(server.Application), string(server.Database), string(server.Backup)}
}

func (c *checker) addresses(i int) {
	srv := c.site.Servers[i]
	if n, ok := c.sound("servers", i, "address"); ok {
		if what, instead := addressProblem("address", srv.Address); what != "" {
			c.add(n, what, instead)
		}
	}
	for key, like := range map[string]string{"address6": "write address6: 2001:db8::10", "private": "write private: 10.0.0.5", "private6": "write private6: fd00::5"} {
		n, ok := c.sound("servers", i, key)
		if !ok {
			continue
		}
		ip, err := netip.ParseAddr(n.Value)
		if err != nil {
			c.add(n, key+" is not an IP address", like)
			continue
		}
		if what, instead := ipProblem(key, ip, like); what != "" {
			c.add(n, what, instead)
		} else if key == "private6" && ip.Is4() {
			c.add(n, "private6 is an IPv4 address", "write it as private")
		} else if key == "address6" {
			c.secondFamily(n, srv.Address, ip)
		}
	}
}

func (c *checker) secondFamily(n *yaml.Node, address string, ip netip.Addr) {
	if ip.Is4() {
		c.add(n, "address6 is an IPv4 address", "write the IPv4 address as address and the IPv6 address as address6")
		return
	}
	if first, err := netip.ParseAddr(address); err == nil && first.Is6() {
		c.add(n, "address is an IPv6 address already", "write the server's IPv4 address as address, or remove address6")
	}
}

// jumps reports jumps that lead nowhere: to an unknown server, to the server
// itself, or in a circle.
func (c *checker) jumps() {
	via := map[string]string{}
	at := map[string]int{}
	var names []string
	for i, srv := range c.site.Servers {
		if srv.Name == "" {
			continue
		}
		if _, twice := at[srv.Name]; !twice {
			at[srv.Name], via[srv.Name] = i, srv.Jump
			names = append(names, srv.Name)
		}
	}
	reported := map[string]bool{}
	for i, srv := range c.site.Servers {
		n, ok := c.sound("servers", i, "jump")
		if !ok {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == srv.Name })
		instead := "write the name of another server of the site, or remove jump"
		if len(others) > 0 {
			instead = "write one of " + strings.Join(others, ", ") + ", or remove jump"
		}
		if near := nearest(srv.Jump, others); near != "" {
			instead = "write jump: " + near
		}
		if srv.Jump == srv.Name {
			c.add(n, "the server is its own jump", instead)
			continue
		}
		if _, known := at[srv.Jump]; !known {
			c.add(n, "there is no server "+show(srv.Jump)+" to jump through", instead)
			continue
		}
		if circle := findCircle(srv.Name, via); circle != nil && !reported[srv.Name] {
			for _, name := range circle {
				reported[name] = true
			}
			c.add(n, "jumps go in a circle: "+strings.Join(circle, " → "), "remove jump from the server that can be reached directly")
		}
	}
}

// findCircle follows jumps from start and returns the way if it comes back.
func findCircle(start string, via map[string]string) []string {
	way := []string{start}
	for name := via[start]; name != "" && name != way[len(way)-1]; name = via[name] {
		way = append(way, name)
		if name == start {
			return way
		}
		if len(way) > len(via)+1 {
			return nil // in a circle that start is not part of
		}
	}
	return nil
}

// rolesOfSite reports a role that cannot do its work because no server has the
// role that it serves: a database accepts connections from the application
// servers alone (guide 3.11), and a backup is that of a database.
func (c *checker) rolesOfSite() {
	if c.badRoles {
		return
	}
	needs := []struct{ role, other server.Role }{{server.Database, server.Application}, {server.Backup, server.Database}}
	for _, need := range needs {
		first := -1
		for i, srv := range c.site.Servers {
			all := append(slices.Clone(srv.Roles), srv.Role)
			if slices.Contains(all, need.other) {
				first = -1
				break
			}
			if first < 0 && slices.Contains(all, need.role) {
				first = i
			}
		}
		if first < 0 {
			continue
		}
		n := c.at("servers", first, "role")
		if n == nil {
			n = c.at("servers", first, "roles")
		}
		c.add(n, fmt.Sprintf("a server is %s, but none is %s", need.role, need.other), fmt.Sprintf("write a server with role: %s as well, or give one server both roles", need.other))
	}
}

func (c *checker) recipients() {
	if c.site.Secrets == nil {
		return
	}
	c.notEmpty(len(c.site.Secrets.Recipients), "nobody could read secrets.age", "recipients: [age1…]", "secrets", "recipients")
	for i, text := range c.site.Secrets.Recipients {
		n, ok := c.sound("secrets", "recipients", i)
		if !ok {
			continue
		}
		if _, err := parseRecipient(text); err != nil {
			c.add(n, err.Error(), "write an age recipient, which begins with age1, or an ed25519 SSH key")
		}
	}
}
