package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/sshd"
)

// The algorithms that are offered, best first, as far as the installed sshd has
// them. ssh-audit 3.3 finds neither a failure nor a warning in them. Those that
// resist a quantum computer come first; the others stay for clients that have
// none, the desk's own among them on Debian 12.
var (
	wantedKex = []string{
		"mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com",
		"curve25519-sha256", "curve25519-sha256@libssh.org",
		"diffie-hellman-group18-sha512", "diffie-hellman-group16-sha512",
	}
	wantedCiphers = []string{
		"chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com",
		"aes256-ctr", "aes192-ctr", "aes128-ctr",
	}
	wantedMACs = []string{
		"hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "umac-128-etm@openssh.com",
	}
	ed25519HostKeys = []string{"ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"}
	rsaHostKeys     = []string{"rsa-sha2-512", "rsa-sha2-256", "rsa-sha2-512-cert-v01@openssh.com", "rsa-sha2-256-cert-v01@openssh.com"}
)

// minUserRSA is the shortest RSA key that still opens an account, in bits. An
// installed key of 2048 keeps working, as a finding.
const minUserRSA = 2048

// algorithms never offer what the installed OpenSSH has taken out of its own
// defaults.
func algorithms(ctx context.Context, r server.Reader, _ server.Config) ([]setting, error) {
	has, err := sshd.Defaults(ctx, r)
	if err != nil {
		return nil, err
	}
	hostKeys, err := hostKeyAlgorithms(ctx, r)
	if err != nil {
		return nil, err
	}
	settings := []setting{
		{name: "RequiredRSASize", value: strconv.Itoa(minUserRSA), strict: within(minUserRSA, math.MaxInt)},
		{name: "PubkeyAcceptedAlgorithms", value: has.Get("PubkeyAcceptedAlgorithms")},
	}
	for _, list := range []struct {
		name   string
		wanted []string
	}{
		{"KexAlgorithms", wantedKex},
		{"Ciphers", wantedCiphers},
		{"MACs", wantedMACs},
		{"HostKeyAlgorithms", hostKeys},
	} {
		offered := intersect(list.wanted, has.List(list.name))
		if len(offered) == 0 {
			return nil, fmt.Errorf("the installed OpenSSH has none of the wanted algorithms for %s", list.name)
		}
		settings = append(settings, setting{name: list.name, value: strings.Join(offered, ","), global: true})
	}
	return settings, nil
}

// hostKeyAlgorithms returns the algorithms of the strong host keys that the
// daemon has. Weak keys stay where they are and are not offered.
func hostKeyAlgorithms(ctx context.Context, r server.Reader) ([]string, error) {
	files, err := hostKeyFiles(ctx, r)
	if err != nil {
		return nil, err
	}
	var algorithms []string
	for _, file := range files {
		_, _, err := sshd.ReadThrough(ctx, r, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the server's host keys: %w", err)
		}
		// "3072 SHA256:… comment (RSA)"
		out, err := r.Output(ctx, "/usr/bin/ssh-keygen", "-l", "-f", file)
		if err != nil {
			return nil, fmt.Errorf("reading the server's host keys: %w", err)
		}
		words := strings.Fields(out)
		if len(words) < 3 {
			return nil, fmt.Errorf("ssh-keygen says of the host key %s: %q", file, out)
		}
		bits, _ := strconv.Atoi(words[0])
		switch kind := words[len(words)-1]; {
		case kind == "(ED25519)":
			algorithms = append(ed25519HostKeys[:len(ed25519HostKeys):len(ed25519HostKeys)], algorithms...)
		case kind == "(RSA)" && bits >= sshd.MinRSA:
			algorithms = append(algorithms, rsaHostKeys...)
		}
	}
	if len(algorithms) == 0 {
		return nil, fmt.Errorf("the server has no host key of type ed25519, and no RSA host key of %d bits or more, that sshd could offer", sshd.MinRSA)
	}
	return algorithms, nil
}

// hostKeyFiles returns the files that sshd takes its host keys from.
func hostKeyFiles(ctx context.Context, r server.Reader) ([]string, error) {
	lines, err := configuration(ctx, r, map[string]string{})
	if err != nil {
		return nil, err
	}
	var files []string
	for _, l := range lines {
		if l.Keyword == "hostkey" && len(l.Args) == 1 && !slices.Contains(files, l.Args[0]) {
			files = append(files, l.Args[0])
		}
	}
	if files == nil {
		files = []string{"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ed25519_key"}
	}
	return files, nil
}

// intersect returns what is in both, in the order of a.
func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}
