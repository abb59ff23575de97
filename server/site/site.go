package site

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// The tags of the fields below are read by the decoder and by Schema: yaml is
// the key, "required" in jsonschema makes a key required, and like is a correct
// line, shown when the value is not. The comments are the schema's descriptions.

// A Site is everything one operator looks after: servers and the people who
// administer them.
type Site struct {
	// The name of the site. A server belongs to one site and refuses any other.
	Name string `yaml:"site" jsonschema:"required" like:"site: shop"`
	// The people who have an account and SSH keys on every server of the site; at least one.
	Admins []Admin `yaml:"admins" jsonschema:"required,minItems=1" like:"admins: [{name: alice, keys: [~/.ssh/id_ed25519.pub]}]"`
	// The way in when every other is lost. Without it, root is not locked.
	BreakGlass *BreakGlass `yaml:"break_glass,omitempty" like:"break_glass: {account: rescue}"`
	// The rules for new passwords: guide (at least 10 characters, one upper, two lower, one digit, one other) or nist (at least 15 characters, no composition rules). Default guide.
	Passwords server.PasswordRules `yaml:"passwords,omitempty" jsonschema:"default=guide" like:"passwords: guide"`
	// What admins show besides their key. Without it the audit fails.
	SecondFactor *SecondFactor `yaml:"second_factor,omitempty" like:"second_factor: {codes: shared, enroll_until: 2027-01-31}"`
	// The accounts of programs that run one command with a key alone.
	Automation []Automation `yaml:"automation,omitempty" like:"automation: [{name: deploy, key: keys/deploy.pub, from: [192.0.2.0/24], command: /usr/local/bin/deploy, until: 2027-06-30}]"`
	// Who filters packets: holdfast (refuses to work beside ufw, firewalld or saved rules of iptables), take-over (takes their place) or provider (the hosting provider; nothing is changed on the servers). Default holdfast.
	Firewall server.Filter `yaml:"firewall,omitempty" jsonschema:"default=holdfast" like:"firewall: holdfast"`
	// The networks that SSH is admitted from, in CIDR notation. Default anywhere.
	AdminNetworks []string `yaml:"admin_networks,omitempty" jsonschema:"minItems=1" like:"admin_networks: [192.0.2.0/24]"`
	// The TCP ports that application servers admit from anywhere. Default 80, 443, 3000 and 3003.
	ApplicationPorts []int `yaml:"application_ports,omitempty" like:"application_ports: [80, 443, 3000, 3003]"`
	// Which of them lead to another port of the same server. Default from 80 to 3000 and from 443 to 3003.
	Redirects []Redirect `yaml:"redirects,omitempty" like:"redirects: [{from: 80, to: 3000}]"`
	// The TCP ports that database servers admit from application servers. Default 3306.
	DatabasePorts []int `yaml:"database_ports,omitempty" like:"database_ports: [3306]"`
	// What servers admit beyond what their roles need.
	Rules []Rule `yaml:"rules,omitempty" like:"rules: [{protocol: tcp, port: 9100, sources: [app-1]}]"`
	// The only connections that servers may open, besides those to servers of the site. Default any.
	Egress []Egress `yaml:"egress,omitempty" jsonschema:"minItems=1" like:"egress: [{protocol: tcp, port: 443}]"`
	// The machines of the site; at least one.
	Servers []Server `yaml:"servers" jsonschema:"required,minItems=1" like:"servers: [{name: app-1, role: application, address: 192.0.2.10}]"`
	// The people who are to lose a server. Without such an entry a plan after which an admin cannot log in or become root is refused.
	LosesAccess []LostAccess `yaml:"loses_access,omitempty" like:"loses_access: [{name: bob, servers: [db-1], reason: bob left}]"`
	// The controls that are switched off on purpose. An audit counts them apart, and an exception that is over is a finding.
	Exceptions []Exception `yaml:"exceptions,omitempty" like:"exceptions: [{control: ssh-sessions, servers: [app-1], reason: the old client needs it, owner: alice, until: 2027-01-31}]"`
	// Who can read secrets.age, the encrypted file beside this one.
	Secrets *SecretsFile `yaml:"secrets,omitempty" like:"secrets: {recipients: [age1…]}"`

	// Path is the file that the site was read from.
	Path string `yaml:"-"`
	// Digest is the SHA-256 of the file's bytes in hex. Key files are not part of it.
	Digest string `yaml:"-"`
}

// An Admin is a person with an account on every server of the site.
type Admin struct {
	// The name of the account: small letters, digits, - and _, at most 32 characters, beginning with a letter.
	Name string `yaml:"name" jsonschema:"required" like:"name: alice"`
	// The admin's public SSH keys, each as text or as the path of a file with one key in each line. Paths are relative to the site file; ~ is the home directory.
	Keys []string `yaml:"keys" jsonschema:"required,minItems=1" like:"keys: [~/.ssh/id_ed25519.pub]"`
}

// A BreakGlass is the way in that depends on no admin: an account with a strong
// password that works on the console, or an offline key that opens root from
// some networks, or both.
type BreakGlass struct {
	// An account with a strong password that works on the console.
	Account string `yaml:"account,omitempty" like:"account: rescue"`
	// An offline public SSH key, as text or as the path of a file, that opens root from the networks in from.
	Key string `yaml:"key,omitempty" like:"key: keys/recovery.pub"`
	// The networks that the key works from, in CIDR notation. Needed with key.
	From []string `yaml:"from,omitempty" jsonschema:"minItems=1" like:"from: [192.0.2.0/24]"`
}

// A SecondFactor says what admins show besides their key.
type SecondFactor struct {
	// Codes that change every 30 seconds: shared (one entry in the admin's app; who takes one server has what makes the codes of all), per-server (one entry for each server; who takes one server has that one's alone) or none.
	Codes server.Codes `yaml:"codes" jsonschema:"required" like:"codes: shared"`
	// The last day on which an admin who is not enrolled gets in with a key alone. Afterwards such an admin is kept out as long as another admin gets in. Without it there is no such day, and the audit fails until everybody is enrolled.
	EnrollUntil server.Day `yaml:"enroll_until,omitempty" like:"enroll_until: 2027-01-31"`
	// What FIDO2 keys count for: both makes them key and second factor for an admin who has no other keys; they have to ask for a PIN or a fingerprint. Default key.
	FIDO2 FIDO2 `yaml:"fido2,omitempty" jsonschema:"default=key" like:"fido2: both"`
}

// FIDO2 says what a FIDO2 key counts for.
type FIDO2 string

// What a FIDO2 key counts for.
const (
	FIDO2Key  FIDO2 = "key"
	FIDO2Both FIDO2 = "both"
)

// An Automation is the account of a program: key only, from some networks, one
// command, until a day.
type Automation struct {
	// The name of the account: small letters, digits, - and _, at most 32 characters, beginning with a letter.
	Name string `yaml:"name" jsonschema:"required" like:"name: deploy"`
	// Its public SSH key, as text or as the path of a file.
	Key string `yaml:"key" jsonschema:"required" like:"key: keys/deploy.pub"`
	// The networks that the key works from, in CIDR notation.
	From []string `yaml:"from" jsonschema:"required,minItems=1" like:"from: [192.0.2.0/24]"`
	// The one command that it runs, whatever it asks for.
	Command string `yaml:"command" jsonschema:"required" like:"command: /usr/local/bin/deploy"`
	// The last day on which the key works.
	Until server.Day `yaml:"until" jsonschema:"required" like:"until: 2027-06-30"`
	// The servers that have the account. Default all.
	Servers []string `yaml:"servers,omitempty" jsonschema:"minItems=1" like:"servers: [app-1]"`
}

// A Server is one machine of the site.
type Server struct {
	// The name of the server in the site: small letters, digits, - and dots, as in a host name.
	Name string `yaml:"name" jsonschema:"required" like:"name: app-1"`
	// What the server is for: application, database or backup. Write roles if it has several.
	Role server.Role `yaml:"role,omitempty" like:"role: application"`
	// What the server is for, if it has several roles. Write either role or roles.
	Roles []server.Role `yaml:"roles,omitempty" jsonschema:"minItems=1" like:"roles: [application, database]"`
	// The IPv4 or IPv6 address or the name under which the server is reached, from here or from its jump server.
	Address string `yaml:"address" jsonschema:"required" like:"address: 192.0.2.10"`
	// The server's IPv6 address, if address is not one; proofs are made over both.
	Address6 string `yaml:"address6,omitempty" like:"address6: 2001:db8::10"`
	// The server's address in the network that the servers share.
	Private string `yaml:"private,omitempty" like:"private: 10.0.0.5"`
	// The server's IPv6 address in that network, if private is not one.
	Private6 string `yaml:"private6,omitempty" like:"private6: fd00::5"`
	// The port that sshd listens on. Default 22.
	Port int `yaml:"port,omitempty" jsonschema:"minimum=1,maximum=65535,default=22" like:"port: 22"`
	// The account of the first contact, before the admins have theirs: root, or the account of a cloud image. Default root.
	FirstLogin string `yaml:"first_login,omitempty" jsonschema:"default=root" like:"first_login: root"`
	// The name of another server of the site, through which this one is reached.
	Jump string `yaml:"jump,omitempty" like:"jump: app-1"`
	// Whether SSH agents may be forwarded to this server. Who takes the server can use them, so jump is the better way on. Default false.
	AgentForwarding bool `yaml:"agent_forwarding,omitempty" jsonschema:"default=false" like:"agent_forwarding: true"`
}

// A LostAccess says that an admin's loss of some servers is wanted. It takes
// nothing away by itself: it lets a plan through after which that admin cannot
// log in or become root there.
type LostAccess struct {
	// The name of the admin.
	Name string `yaml:"name" jsonschema:"required" like:"name: bob"`
	// The names of the servers that the admin may lose.
	Servers []string `yaml:"servers" jsonschema:"required,minItems=1" like:"servers: [db-1]"`
	// Why, in a few words; the plan shows it.
	Reason string `yaml:"reason" jsonschema:"required,minLength=1" like:"reason: bob left"`
	// The last day (UTC) on which it is wanted, as YYYY-MM-DD. Default for good.
	Until server.Day `yaml:"until,omitempty" like:"until: 2027-01-31"`
}

// An Exception switches a control off on some servers, until a day.
type Exception struct {
	// The control, by the name that plan and audit print.
	Control string `yaml:"control" jsonschema:"required" like:"control: ssh-sessions"`
	// The names of the servers that it is switched off on.
	Servers []string `yaml:"servers" jsonschema:"required,minItems=1" like:"servers: [app-1]"`
	// Why, in a few words.
	Reason string `yaml:"reason" jsonschema:"required,minLength=1" like:"reason: the old client needs it"`
	// Who answers for it, such as an admin's name or a mail address.
	Owner string `yaml:"owner" jsonschema:"required,minLength=1" like:"owner: alice"`
	// The last day (UTC) on which it is in force, as YYYY-MM-DD.
	Until server.Day `yaml:"until" jsonschema:"required" like:"until: 2027-01-31"`
}

// A SecretsFile says how secrets.age is encrypted.
type SecretsFile struct {
	// Those who can read secrets.age: age recipients (age1…) or ed25519 SSH keys.
	Recipients []string `yaml:"recipients" jsonschema:"required,minItems=1" like:"recipients: [age1…]"`
}

// What a site has where its file says nothing.
const (
	defaultPort       = 22
	defaultFirstLogin = "root"
)

// setDefaults fills what the file left out and moves role to roles.
func (s *Site) setDefaults() {
	if s.Passwords == "" {
		s.Passwords = server.PasswordsGuide
	}
	s.setFirewallDefaults()
	for i := range s.Servers {
		srv := &s.Servers[i]
		if srv.Role != "" {
			srv.Roles, srv.Role = []server.Role{srv.Role}, ""
		}
		if srv.Port == 0 {
			srv.Port = defaultPort
		}
		if srv.FirstLogin == "" {
			srv.FirstLogin = defaultFirstLogin
		}
	}
}

// Server returns the server of that name, and whether there is one.
func (s *Site) Server(name string) (Server, bool) {
	i := slices.IndexFunc(s.Servers, func(srv Server) bool { return srv.Name == name })
	if i < 0 {
		return Server{}, false
	}
	return s.Servers[i], true
}

// Config returns the part of the site that the named server is told. It holds
// no secrets, and of other servers the addresses that it has to admit.
func (s *Site) Config(name string) (server.Config, error) {
	srv, ok := s.Server(name)
	if !ok {
		var known []string
		for _, other := range s.Servers {
			known = append(known, other.Name)
		}
		return server.Config{}, fmt.Errorf("site %s has no server %q, only %s", s.Name, name, strings.Join(known, ", "))
	}
	c := server.Config{
		Site: s.Name, SiteDigest: s.Digest, Server: srv.Name,
		Roles: slices.Clone(srv.Roles), Port: srv.Port, Passwords: s.Passwords,
		AgentForwarding: srv.AgentForwarding,
		Jump:            slices.ContainsFunc(s.Servers, func(other Server) bool { return other.Jump == name }),
		Firewall:        s.firewall(srv),
	}
	for _, a := range s.Admins {
		c.Admins = append(c.Admins, server.Admin{Name: a.Name, Keys: slices.Clone(a.Keys), Factor: s.factorOf(a, time.Now())})
	}
	if f := s.SecondFactor; f != nil {
		c.Codes, c.EnrollUntil = f.Codes, f.EnrollUntil
	}
	for _, a := range s.Automation {
		if len(a.Servers) == 0 || slices.Contains(a.Servers, name) {
			c.Automation = append(c.Automation, server.Automation{
				Name: a.Name, Key: a.Key, From: slices.Clone(a.From), Command: a.Command, Until: a.Until,
			})
		}
	}
	if b := s.BreakGlass; b != nil {
		c.BreakGlass = server.BreakGlass{Account: b.Account, Key: b.Key, From: slices.Clone(b.From)}
	}
	for _, l := range s.LosesAccess {
		if slices.Contains(l.Servers, name) {
			c.LosesAccess = append(c.LosesAccess, server.LostAccess{Account: l.Name, Reason: l.Reason, Until: l.Until})
		}
	}
	for _, e := range s.Exceptions {
		if slices.Contains(e.Servers, name) {
			c.Exceptions = append(c.Exceptions, server.Exception{Control: e.Control, Reason: e.Reason, Owner: e.Owner, Until: e.Until})
		}
	}
	return c, nil
}

// factorOf is what an admin has to show besides a key at a time.
func (s *Site) factorOf(a Admin, now time.Time) server.Factor {
	f := s.SecondFactor
	isFIDO2 := func(line string) bool { return strings.HasPrefix(line, "sk-") }
	switch {
	case f == nil || f.Codes == server.NoCodes && f.FIDO2 != FIDO2Both:
		return ""
	case f.FIDO2 == FIDO2Both && len(a.Keys) > 0 && !slices.ContainsFunc(a.Keys, func(k string) bool { return !isFIDO2(k) }):
		return server.InKey
	case f.Codes == server.NoCodes:
		return ""
	case f.EnrollUntil != "" && f.EnrollUntil.Over(now):
		return server.CodeAlways
	}
	return server.CodeOnceEnrolled
}

// FactorSecret is the name in secrets.age of the second factor of an admin on a
// server.
func (s *Site) FactorSecret(admin, name string) string {
	if s.SecondFactor != nil && s.SecondFactor.Codes == server.CodesPerServer {
		return server.FactorSecretOn(admin, name)
	}
	return server.FactorSecret(admin)
}
