package site

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Patterns of names, shared by the checks and the schema.
const (
	// accountPattern is what useradd of Debian and Ubuntu accepts without
	// --badname, less a leading underscore and a closing $: those are the names
	// of daemons and of machines.
	accountPattern = `^[a-z][a-z0-9_-]{0,31}$`
	// hostPattern is RFC 1123, 2.1, in small letters; that the last label is not
	// a number and that the whole has at most 253 characters is checked beside it.
	hostPattern = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`
)

// reservedAccounts are the accounts and groups that Debian and Ubuntu make
// themselves (base-passwd, and the packages of a stock server) and those that
// the guide's servers bring: useradd makes a group of the same name.
var reservedAccounts = strings.Fields(`
	root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody nogroup
	adm tty disk dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev
	staff users input kvm render sgx crontab netdev wheel lxd docker
	messagebus sshd syslog uuidd tcpdump tss landscape pollinate polkitd usbmux dnsmasq ntp ntpsec chrony
	fwupd-refresh rtkit avahi postfix postdrop exim mysql postgres redis ssl-cert holdfast`)

// CheckAccountName returns an error that says why name cannot be the account of a
// person, nil if it can.
func CheckAccountName(name string) error {
	switch {
	case !regexp.MustCompile(accountPattern).MatchString(name):
		return fmt.Errorf("%s is not an account name that useradd accepts", show(name))
	case slices.Contains(reservedAccounts, name) || strings.HasPrefix(name, "systemd-"):
		return fmt.Errorf("%s is an account or a group of the system itself", show(name))
	}
	return nil
}

// CheckLoginName is [CheckAccountName] for an account that is there already, such as root
// or that of a cloud image.
func CheckLoginName(name string) error {
	if slices.Contains(reservedAccounts, name) {
		return nil
	}
	return CheckAccountName(name)
}

// CheckAddress returns an error that says why text cannot be where a server is
// reached, nil if it can.
func CheckAddress(text string) error {
	if what, _ := addressProblem("address", text); what != "" {
		return errors.New(what)
	}
	return nil
}

// CheckServerName returns an error that says why name cannot name a server or a
// site, nil if it can.
func CheckServerName(name string) error {
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case !regexp.MustCompile(hostPattern).MatchString(name) || len(name) > 253:
		return fmt.Errorf("%s is not a host name in small letters (RFC 1123)", show(name))
	case strings.Contains(name, ".") && strings.Trim(last, "0123456789") == "":
		return fmt.Errorf("%s is an address or ends like one", show(name))
	}
	return nil
}

// suggestName makes a name that rule accepts of one that it does not, or returns
// fallback.
func suggestName(name string, rule func(string) error, fallback string) string {
	name = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "-")
	for _, s := range []string{name, strings.ReplaceAll(name, "_", "-")} {
		if rule(s) == nil {
			return s
		}
	}
	return fallback
}

// addressProblem says why text cannot be where a server is reached and what to
// write instead; both are empty if it can. key is the key it stands under.
func addressProblem(key, text string) (what, instead string) {
	like := "write the server's address or name, such as " + key + ": 192.0.2.10"
	if ip, err := netip.ParseAddr(text); err == nil {
		return ipProblem(key, ip, like)
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return key + " holds a port", fmt.Sprintf("write %s: %s and port: %d", key, ap.Addr(), ap.Port())
	}
	if inner := strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"); inner != text {
		if ip, err := netip.ParseAddr(inner); err == nil {
			return key + " has brackets", "write " + key + ": " + ip.String()
		}
	}
	if user, host, ok := strings.Cut(text, "@"); ok && CheckServerName(strings.ToLower(host)) == nil && CheckAccountName(user) == nil {
		return key + " holds an account", "write " + key + ": " + strings.ToLower(host) + " and first_login: " + user
	}
	if CheckServerName(strings.ToLower(text)) != nil {
		return key + " is neither an IP address nor a host name", like
	}
	return "", ""
}

// ipProblem refuses addresses that no server can be reached under.
func ipProblem(key string, ip netip.Addr, like string) (what, instead string) {
	switch {
	case ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return key + " is not the address of one machine", like
	case ip.Zone() != "":
		return key + " is good on this machine alone, because it names an interface", like
	case ip.Is4In6():
		return key + " is an IPv4 address written as IPv6", "write " + key + ": " + ip.Unmap().String()
	}
	return "", ""
}
