package desk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// settings are what the ssh configuration says of a host. An empty field means
// that it says nothing.
type settings struct {
	hostName       string
	user           string
	port           int
	identityFiles  []string
	identityAgent  string // a path, "none" or "SSH_AUTH_SOCK"
	identitiesOnly bool
	proxyJump      string
	proxyCommand   string
	knownHosts     []string
}

// lookUp returns the settings of a host, which may be an address.
func (d *Desk) lookUp(ctx context.Context, host string) (*settings, error) {
	d.mu.Lock()
	s := d.settings[host]
	d.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := readSettings(ctx, d.config.SSHConfig, host)
	if err != nil {
		return nil, fmt.Errorf("reading the ssh configuration for %s: %w", host, err)
	}
	d.mu.Lock()
	d.settings[host] = s
	d.mu.Unlock()
	return s, nil
}

func readSettings(ctx context.Context, file, host string) (*settings, error) {
	argv := []string{"-G"}
	if file != "" {
		argv = append(argv, "-F", file)
	}
	cmd := exec.CommandContext(ctx, "ssh", append(argv, "--", host)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return decodeSettings(file, host)
	}
	if err != nil {
		return nil, fmt.Errorf("ssh -G: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	s := &settings{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		s.set(name, value)
	}
	return s, lines.Err()
}

// decodeSettings does without an ssh program. It refuses Match blocks, which it
// could not honour.
func decodeSettings(file, host string) (*settings, error) {
	if file == "" {
		file = expand("~/.ssh/config")
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return defaulted(&settings{}), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	config, err := ssh_config.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s := &settings{}
	for _, name := range []string{"HostName", "User", "Port", "IdentityFile", "IdentityAgent", "IdentitiesOnly", "ProxyJump", "ProxyCommand", "UserKnownHostsFile"} {
		values, err := config.GetAll(host, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(values) > 1 && name != "IdentityFile" {
			values = values[:1]
		}
		for _, v := range values {
			s.set(strings.ToLower(name), v)
		}
	}
	return defaulted(s), nil
}

// defaulted adds what ssh -G would.
func defaulted(s *settings) *settings {
	if len(s.identityFiles) == 0 {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			s.identityFiles = append(s.identityFiles, expand("~/.ssh/"+name))
		}
	}
	if len(s.knownHosts) == 0 {
		s.knownHosts = []string{expand("~/.ssh/known_hosts")}
	}
	return s
}

func (s *settings) set(name, value string) {
	switch name {
	case "hostname":
		s.hostName = value
	case "user":
		s.user = value
	case "port":
		s.port, _ = strconv.Atoi(value) // ssh has checked it; 0 is its default
	case "identityfile":
		s.identityFiles = append(s.identityFiles, expand(value))
	case "identityagent":
		s.identityAgent = expand(value)
	case "identitiesonly":
		s.identitiesOnly = value == "yes"
	case "proxyjump":
		s.proxyJump = unless(value, "none")
	case "proxycommand":
		s.proxyCommand = unless(value, "none")
	case "userknownhostsfile":
		for _, f := range strings.Fields(value) {
			s.knownHosts = append(s.knownHosts, expand(f))
		}
	}
}

func unless(value, none string) string {
	if value == none {
		return ""
	}
	return value
}

// expand replaces a leading "~/" or "%d/" by the home directory.
func expand(path string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	for _, prefix := range []string{"~/", "%d/"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			return filepath.Join(home, rest)
		}
	}
	return path
}

// parseJumps makes a chain of targets of a ProxyJump value, such as
// "ada@bastion:2222,inner"; the last is the one that is reached last.
func parseJumps(value string) (*Target, error) {
	var last *Target
	for hop := range strings.SplitSeq(value, ",") {
		hop = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(hop), "ssh://"), "/")
		t := &Target{Jump: last, foreign: true}
		host := hop
		if i := strings.LastIndex(hop, "@"); i >= 0 {
			t.Logins, host = []Login{{User: hop[:i]}}, hop[i+1:]
		}
		if i := strings.LastIndex(host, ":"); i >= 0 && (strings.Count(host, ":") == 1 || strings.HasPrefix(host, "[") && host[i-1] == ']') {
			port, err := strconv.ParseUint(host[i+1:], 10, 16)
			if err != nil || port == 0 {
				return nil, fmt.Errorf("the jump host %q has no usable port", hop)
			}
			t.Port, host = int(port), host[:i]
		}
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if host == "" {
			return nil, fmt.Errorf("the jump host %q has no name", hop)
		}
		t.Name, t.Address = host, host
		last = t
	}
	return last, nil
}
