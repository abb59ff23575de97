package server

import "time"

// A Role says what a server is for (guide 3.1). A server may have several.
type Role string

// The roles.
const (
	Application Role = "application"
	Database    Role = "database"
	Backup      Role = "backup"
)

// PasswordRules name the rules for new passwords (guide 3.4).
type PasswordRules string

// The password rules.
const (
	// PasswordsGuide are the guide's: at least 10 characters, one upper, two
	// lower, one digit, one other, three changed, plus dictionary and user name.
	PasswordsGuide PasswordRules = "guide"
	// PasswordsNIST are those of NIST SP 800-63B-4: at least 15 characters and
	// no composition rules, plus dictionary and user name.
	PasswordsNIST PasswordRules = "nist"
)

// A Config is the part of a site that one server is told: what its controls
// need to know, and of other servers only addresses. It is plain data.
type Config struct {
	// Site is the site's name; a server belongs to one site.
	Site string `json:"site"`
	// SiteDigest is the hash of the site file that this was made from.
	SiteDigest string `json:"site_digest"`
	// Server is the server's name in the site.
	Server string `json:"server"`
	Roles  []Role `json:"roles"`
	// Port is the port sshd listens on, 1 to 65535.
	Port int `json:"port"`
	// Jump says that other servers are reached through this one.
	Jump bool `json:"jump,omitempty"`
	// AgentForwarding says that agents may be forwarded to this server.
	AgentForwarding bool `json:"agent_forwarding,omitempty"`
	// Admins are all admins of the site.
	Admins []Admin `json:"admins"`
	// BreakGlass is the way in when every other is lost; its zero value means
	// that there is none and root stays as it is.
	BreakGlass BreakGlass    `json:"break_glass"`
	Passwords  PasswordRules `json:"passwords"`
	// Codes says what the second factor of admins is (guide 3.10); empty if the
	// site file does not say.
	Codes Codes `json:"codes,omitempty"`
	// EnrollUntil is the last day on which an admin who is not
	// enrolled gets in with a key alone; empty if there is no such day.
	EnrollUntil Day `json:"enroll_until,omitempty"`
	// Automation are the accounts of programs on this server.
	Automation []Automation `json:"automation,omitempty"`
	// LosesAccess are the people whom the site wants to lose this server.
	LosesAccess []LostAccess `json:"loses_access,omitempty"`
	// Exceptions are the controls that are switched off on this server.
	Exceptions []Exception `json:"exceptions,omitempty"`
	// Firewall is what the server admits (guide 3.11).
	Firewall Firewall `json:"firewall"`
	// Secrets are what the desk sent along for this run, by name, such as
	// [PasswordSecret]. They are never stored with the Config.
	Secrets map[string]Secret `json:"-"`
}

// An Admin is a person with an account on every server (guide 3.6).
type Admin struct {
	// Name is the account's name.
	Name string `json:"name"`
	// Keys are public keys in authorized_keys format, one line each, without
	// options.
	Keys []string `json:"keys"`
	// Factor is what the admin shows besides a key.
	Factor Factor `json:"factor,omitempty"`
}

// Codes say whether the admins of a site show codes that change every 30
// seconds, and how many secrets there are.
type Codes string

// The kinds of codes.
const (
	// SharedCodes are one secret an admin for all servers. Who takes one server
	// has what makes the codes of all.
	SharedCodes Codes = "shared"
	// CodesPerServer are one secret an admin and server: as many entries in the
	// admin's app as there are servers.
	CodesPerServer Codes = "per-server"
	// NoCodes are none, on purpose.
	NoCodes Codes = "none"
)

// A Factor is what an admin shows besides a key.
type Factor string

// The second factors.
const (
	// CodeOnceEnrolled is a code once the admin is enrolled; until then the key
	// is enough.
	CodeOnceEnrolled Factor = "code once enrolled"
	// CodeAlways is a code; an admin who is not enrolled does not get in as long
	// as another admin does.
	CodeAlways Factor = "code"
	// InKey is the key itself: a FIDO2 key that wants its PIN or a fingerprint.
	InKey Factor = "in the key"
)

// An Automation is the account of a program that runs one command on a server
// with nothing but a key, a named exception to guide 3.10.
type Automation struct {
	// Name is the account's name.
	Name string `json:"name"`
	// Key is the public key in authorized_keys format, without options.
	Key string `json:"key"`
	// From are the networks in CIDR notation that it works from; not empty.
	From []string `json:"from"`
	// Command is what it runs, whatever it asks for.
	Command string `json:"command"`
	// Until is the last day on which it works.
	Until Day `json:"until"`
}

// A LostAccess is a person's loss of a server that the site wants. It takes
// nothing away by itself: it lets a plan be carried out after which that person
// cannot log in or become root.
type LostAccess struct {
	// Account is the person's account.
	Account string `json:"account"`
	// Reason is why, in the operator's words.
	Reason string `json:"reason"`
	// Until is the last day on which it is wanted; empty means for good.
	Until Day `json:"until,omitempty"`
}

// MayLose returns why an account may lose this server at now, and whether it
// may.
func (c Config) MayLose(account string, now time.Time) (LostAccess, bool) {
	for _, l := range c.LosesAccess {
		if l.Account == account && (l.Until == "" || !l.Until.Over(now)) {
			return l, true
		}
	}
	return LostAccess{}, false
}

// BreakGlass is the way in that depends on no other admin, no second factor and,
// for an account, not on SSH (guide 3.9, and our departure from it).
type BreakGlass struct {
	// Account is a local account with a strong password that works on the
	// console; empty if there is none.
	Account string `json:"account,omitempty"`
	// Key is an offline public key that opens root from the networks in From;
	// empty if there is none.
	Key string `json:"key,omitempty"`
	// From are the networks in CIDR notation that Key works from; not empty if
	// Key is set.
	From []string `json:"from,omitempty"`
}

// IsZero reports whether there is no way in.
func (b BreakGlass) IsZero() bool { return b.Account == "" && b.Key == "" }

// PasswordSecret is the name under which the first password of an account is
// found in [Config.Secrets].
func PasswordSecret(account string) string { return "password/" + account }

// FactorSecret is the name under which the second factor of an account is found
// in [Config.Secrets], in the form that package server/factor gives it.
func FactorSecret(account string) string { return "factor/" + account }

// FactorSecretOn is the name under which a desk keeps the second factor of an
// account for one server.
func FactorSecretOn(account, server string) string { return "factor/" + account + "@" + server }

// LentSecret is the name under which the single-use codes that a desk lends to
// an account for one run are found in [Config.Secrets], separated by spaces.
func LentSecret(account string) string { return "lent/" + account }
