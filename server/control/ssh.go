package control

import (
	"context"
	"slices"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// SSH is section 3.7, "Locking Remote Access".
func SSH() []server.Control {
	return []server.Control{
		sshControl(server.Control{
			ID:       "ssh-keys-only",
			Guide:    "3.7",
			Title:    "SSH accepts keys and no passwords",
			Why:      "A password can be guessed from anywhere in the world; a key can not.",
			Severity: server.High,
			References: slices.Concat(
				sshCIS("5.1.19", "5.1.20"), sshSTIG("UBTU-24-300031"), // PermitEmptyPasswords
				sshCIS("5.1.10", "5.1.10"), sshCIS("5.1.11", "5.1.11"), // HostbasedAuthentication, IgnoreRhosts
				sshCIS("5.1.22", "5.1.23"), sshSTIG("UBTU-24-500050"), // UsePAM
				nist("AC-3", "AC-17(a)", "CM-6(a)", "CM-7(a)", "CM-7(b)"), // the first two
			),
			LocksOut: true,
		}, sshDropIn{file: "00-holdfast-keys-only.conf", settings: keysOnly}, cloudInit),
		sshControl(server.Control{
			ID:         "ssh-no-root",
			Guide:      "3.7",
			Title:      "Nobody logs in as root over SSH",
			Why:        "Every attacker knows the name root, and who logs in as root leaves no name behind.",
			Severity:   server.High,
			References: slices.Concat(sshCIS("5.1.20", "5.1.21"), sshANSSI("R33"), nist("AC-6(2)", "AC-17(a)", "IA-2", "IA-2(5)", "CM-6(a)", "CM-7(a)", "CM-7(b)")),
			LocksOut:   true,
		}, sshDropIn{file: "00-holdfast-no-root.conf", settings: noRoot, before: breakGlassBlock}, breakGlassKey),
		sshControl(server.Control{
			ID:       "ssh-algorithms",
			Guide:    "3.7",
			Title:    "SSH offers only modern algorithms",
			Why:      "What is recorded today must not be readable when an old algorithm falls.",
			Severity: server.Medium,
			References: slices.Concat(
				sshCIS("5.1.6", "5.1.6"), sshCIS("5.1.12", "5.1.12"), sshCIS("5.1.15", "5.1.16"),
				[]server.Reference{{Benchmark: "CIS Debian 13", Version: "1.0.0", Number: "5.1.13"}}, // post-quantum
				nist("AC-17(2)"), // MACs
			),
			LocksOut: true,
		}, sshDropIn{file: "00-holdfast-algorithms.conf", settings: algorithms}, nil, liveOffer),
		sshControl(server.Control{
			ID:       "ssh-sessions",
			Guide:    "3.7",
			Title:    "SSH sessions are limited, logged and not forwarded",
			Why:      "A forwarded display lends the admin's rights to whoever has taken the server.",
			Severity: server.Medium,
			References: slices.Concat(
				sshCIS("5.1.16", "5.1.17"), sshCIS("5.1.17", "5.1.18"), sshCIS("5.1.18", "5.1.19"), // MaxAuthTries, MaxSessions, MaxStartups
				sshCIS("5.1.13", "5.1.14"), sshCIS("5.1.7", "5.1.7"), sshCIS("5.1.14", "5.1.15"), // LoginGraceTime, ClientAlive, LogLevel
				sshCIS("5.1.8", "5.1.8"), sshCIS("5.1.21", "5.1.22"), // forwarding, PermitUserEnvironment
				sshSTIG("UBTU-24-300022"), // X11
				nist("AC-2(5)", "AC-12", "AC-17(a)", "SC-10", "CM-6(a)", "CM-7(a)", "CM-7(b)"), // ClientAlive, LogLevel, PermitUserEnvironment
			),
			LocksOut: true,
		}, sshDropIn{file: "00-holdfast-sessions.conf", settings: sessions}, nil),
		strongKeys(),
	}
}

// keysOnly leave public keys as the only way in. KbdInteractiveAuthentication
// is off because through PAM it asks for the password.
func keysOnly(context.Context, server.Reader, server.Config) ([]setting, error) {
	return []setting{
		{name: "PubkeyAuthentication", value: "yes"},
		{name: "PasswordAuthentication", value: "no"},
		{name: "KbdInteractiveAuthentication", value: "no"},
		{name: "AuthenticationMethods", value: "publickey"},
		{name: "PermitEmptyPasswords", value: "no"},
		{name: "HostbasedAuthentication", value: "no"},
		{name: "IgnoreRhosts", value: "yes"},
		{name: "GSSAPIAuthentication", value: "no"},
		{name: "KerberosAuthentication", value: "no"},
		// Without PAM, sshd takes an account with "!" in shadow for locked and
		// refuses its key.
		{name: "UsePAM", value: "yes", global: true},
	}, nil
}

func noRoot(context.Context, server.Reader, server.Config) ([]setting, error) {
	return []setting{{name: "PermitRootLogin", value: "no"}}, nil
}

// sessions leave AllowTcpForwarding as it is, because people use it; see
// [Reach] for jump hosts and agents.
func sessions(context.Context, server.Reader, server.Config) ([]setting, error) {
	return []setting{
		{name: "MaxAuthTries", value: "4", strict: within(1, 4)},
		{name: "MaxSessions", value: "10", strict: within(0, 10)},
		{name: "MaxStartups", value: "10:30:60", global: true, strict: fewStartups},
		{name: "LoginGraceTime", value: "60", global: true, strict: within(1, 60)},
		{name: "ClientAliveInterval", value: "60", strict: within(1, 60)},
		{name: "ClientAliveCountMax", value: "3", strict: within(1, 3)},
		{name: "LogLevel", value: "VERBOSE", strict: loud},
		{name: "StrictModes", value: "yes", global: true},
		{name: "PermitUserEnvironment", value: "no", global: true},
		{name: "X11Forwarding", value: "no"},
		{name: "GatewayPorts", value: "no"},
		{name: "PermitTunnel", value: "no"},
	}, nil
}

// statedGlobally are the keywords that a drop-in of ours cannot restate in a
// Match block. The running daemon must be restarted to forget such a one from
// its command line: a reload keeps it, and no block replaces it.
var statedGlobally = []string{
	"usepam", "maxstartups", "logingracetime", "strictmodes", "permituserenvironment",
	"kexalgorithms", "ciphers", "macs", "hostkeyalgorithms",
}

// A setting is one keyword and the value that a drop-in gives it.
type setting struct {
	name, value string
	// global says that sshd does not allow it in a Match block.
	global bool
	// strict makes the setting a limit: it reports whether a value is as strict
	// as value or stricter. Where the host is stricter, it stays so; a limit is
	// not restated in the block that always matches, because that would loosen
	// it for those for whom a foreign block makes it stricter.
	strict func(value string) bool
}

// met reports whether value fulfils the setting.
func (s setting) met(value string) bool {
	if s.strict != nil {
		return s.strict(value)
	}
	return sameValue(s.value, value)
}

// restated reports whether the setting stands in the block that always matches.
func (s setting) restated() bool { return !s.global && s.strict == nil }

// keyword is the name as sshd -T prints it.
func (s setting) keyword() string { return sshd.Canonical(s.name) }

// sshCIS returns the references to one rule: its number is the same in the
// benchmarks for Debian 12 and Ubuntu 24.04.
func sshCIS(debian12, debian13 string) []server.Reference {
	return []server.Reference{
		{Benchmark: "CIS Debian 12", Version: "1.1.0", Number: debian12},
		{Benchmark: "CIS Debian 13", Version: "1.0.0", Number: debian13},
		{Benchmark: "CIS Ubuntu 24.04", Version: "1.0.0", Number: debian12},
	}
}

func sshSTIG(number string) []server.Reference {
	return []server.Reference{{Benchmark: "STIG Ubuntu 24.04", Version: "V1R5", Number: number}}
}

func sshANSSI(number string) []server.Reference {
	return []server.Reference{{Benchmark: "ANSSI BP-028", Version: "2.0", Number: number}}
}
