package sshd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// Units and files that start the daemon on Debian and Ubuntu.
const (
	Service      = "ssh.service"
	Socket       = "ssh.socket"
	DefaultsFile = "/etc/default/ssh"
	// optionsName is the variable in DefaultsFile that the service hands on.
	optionsName = "SSHD_OPTS"
)

// An Override is a setting on the daemon's command line, which comes before
// every file.
type Override struct {
	// Keyword is as in [Line].
	Keyword, Value string
	// Source says where it stands, such as "/etc/default/ssh: SSHD_OPTS".
	Source string
}

// String names the override for a person.
func (o Override) String() string { return fmt.Sprintf("%s: -o %s=%s", o.Source, o.Keyword, o.Value) }

// A Daemon is how sshd is started on a machine.
type Daemon struct {
	// Options are those that the next start puts on the command line and that
	// bear on the configuration, RunningOptions those of the running process,
	// both for [Effective].
	Options, RunningOptions []string
	// Words are the whole command line of the next start, without the program.
	Words []string
	// Config is the main file of the next start, if not [MainFile].
	Config string
	// Next are the settings on the command line of the next start, Running
	// those that the running process was started with; a reload keeps them.
	Next, Running []Override
	// PID is the running listener, 0 if there is none.
	PID string
	// SocketActive says that systemd listens for the daemon (ssh.socket), and
	// Listen where: the ports in sshd's own files mean nothing then. A socket for
	// both address families is there twice.
	SocketActive bool
	Listen       []string
}

// Look finds out how sshd is started and runs on the host that r shows.
func Look(ctx context.Context, r server.Reader) (Daemon, error) {
	out, err := r.Output(ctx, "systemctl", "show", "--property=Id,LoadState,ActiveState,MainPID,ExecStart,Environment,Listen,BindIPv6Only", Service, Socket)
	if err != nil {
		return Daemon{}, fmt.Errorf("looking at the units of sshd: %w", err)
	}
	units := parseUnits(out)
	service := units[Service]
	if len(service["LoadState"]) == 0 || service["LoadState"][0] != "loaded" {
		return Daemon{}, fmt.Errorf("there is no unit %s: the OpenSSH server of the distribution is not installed", Service)
	}
	d := Daemon{PID: first(service["MainPID"])}
	if socket := units[Socket]; first(socket["ActiveState"]) == "active" {
		d.SocketActive = true
		if d.Listen, err = listens(ctx, r, socket); err != nil {
			return Daemon{}, err
		}
	}
	opts, source, err := handedOn(ctx, r, first(service["Environment"]))
	if err != nil {
		return Daemon{}, err
	}
	command, err := execStart(first(service["ExecStart"]))
	if err != nil {
		return Daemon{}, err
	}
	var literal []string
	for _, word := range command {
		if word != "$"+optionsName && word != "${"+optionsName+"}" {
			literal = append(literal, word)
			continue
		}
		d.next(literal, Service+": ExecStart")
		d.next(opts, source)
		literal = nil
	}
	d.next(literal, Service+": ExecStart")
	return d, d.look(ctx, r)
}

// listens returns where a socket unit listens.
func listens(ctx context.Context, r server.Reader, socket map[string][]string) ([]string, error) {
	both := first(socket["BindIPv6Only"]) == "both"
	if first(socket["BindIPv6Only"]) == "default" {
		e, err := r.Read(ctx, "/proc/sys/net/ipv6/bindv6only")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("finding out what an IPv6 socket listens on: %w", err)
		}
		both = strings.TrimSpace(e.Content) != "1"
	}
	var all []string
	add := func(at string) {
		if !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	for _, l := range socket["Listen"] {
		at, _, _ := strings.Cut(l, " ")
		add(at)
		if port, any6 := strings.CutPrefix(at, "[::]:"); any6 && both {
			add("0.0.0.0:" + port)
		}
	}
	return all, nil
}

// next notes words of the next start's command line.
func (d *Daemon) next(words []string, source string) {
	d.Words = append(d.Words, words...)
	options, overrides, config := parseOptions(words, source)
	d.Options = append(d.Options, options...)
	d.Next = append(d.Next, overrides...)
	if config != "" && config != MainFile {
		d.Config = config
	}
}

// look reads the command line of the running listener. A private copy of the
// machine does not show the machine's processes, or shows others under their
// numbers; there systemd tells.
func (d *Daemon) look(ctx context.Context, r server.Reader) error {
	if d.PID == "" || d.PID == "0" {
		d.PID = ""
		return nil
	}
	e, err := r.Read(ctx, "/proc/"+d.PID+"/cmdline")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the command line of the running sshd: %w", err)
	}
	if title := strings.TrimRight(e.Content, "\x00"); err == nil && strings.Contains(title, listener) {
		d.running(title)
		return nil
	}
	out, err := r.Output(ctx, "systemctl", "status", "--no-pager", "--full", "--lines=0", Service)
	if err != nil {
		return fmt.Errorf("reading the command line of the running sshd: %w", err)
	}
	for line := range strings.Lines(out) {
		// "`-36 …" or "└─36 …", as the locale has it
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, " \t│├└─|`-"), d.PID+" "); ok {
			d.running(title)
			return nil
		}
	}
	return fmt.Errorf("systemctl does not show the command line of the running sshd, process %s", d.PID)
}

func (d *Daemon) running(title string) {
	d.RunningOptions, d.Running, _ = parseOptions(titleWords(title), "running sshd, process "+d.PID)
}

// listener stands in the title of the process that takes connections.
const listener = " [listener]"

// titleWords returns the options in the title that a listener gives itself:
// "sshd: /usr/sbin/sshd -D -o X=y [listener] 0 of 10-100 startups". A title has
// no quotes, so a value with spaces is cut at the first.
func titleWords(title string) []string {
	text := strings.TrimPrefix(strings.Trim(strings.TrimSpace(title), `"`), "sshd: ")
	text, _, _ = strings.Cut(text, listener)
	words := strings.Fields(text)
	if len(words) > 0 {
		words = words[1:]
	}
	return words
}

// valued are sshd's options that take a value (sshd.c).
const valued = "CEbcfghkopu"

// bearing are those that change what sshd -T shows.
const bearing = "46fho"

func parseOptions(words []string, source string) (options []string, overrides []Override, config string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		for j := 1; j < len(w) && w[0] == '-'; j++ {
			flag, value := w[j], ""
			if !strings.ContainsRune(valued, rune(flag)) {
				if strings.ContainsRune(bearing, rune(flag)) {
					options = append(options, "-"+string(flag))
				}
				continue
			}
			if value = w[j+1:]; value == "" && i+1 < len(words) {
				i++
				value = words[i]
			}
			switch flag {
			case 'f':
				config = value
			case 'o':
				k, v := cutKeyword(strings.TrimSpace(value))
				overrides = append(overrides, Override{Canonical(k), strings.Trim(v, `"`), source})
			}
			if strings.ContainsRune(bearing, rune(flag)) {
				options = append(options, "-"+string(flag), value)
			}
			break
		}
	}
	return options, overrides, config
}

// parseUnits reads what systemctl show prints for several units.
func parseUnits(text string) map[string]map[string][]string {
	units := map[string]map[string][]string{}
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		properties := map[string][]string{}
		for line := range strings.SplitSeq(block, "\n") {
			if k, v, ok := strings.Cut(line, "="); ok {
				properties[k] = append(properties[k], v)
			}
		}
		units[first(properties["Id"])] = properties
	}
	return units
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// execStart returns the words after the program in a property like
// "{ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D $SSHD_OPTS ; … }".
func execStart(property string) ([]string, error) {
	_, rest, ok := strings.Cut(property, "argv[]=")
	if !ok {
		return nil, fmt.Errorf("%s has no ExecStart that could be read: %q", Service, property)
	}
	argv, _, _ := strings.Cut(rest, " ; ")
	words := strings.Fields(argv)
	if len(words) == 0 || words[0] != Binary {
		return nil, fmt.Errorf("%s starts %q and not %s", Service, argv, Binary)
	}
	return words[1:], nil
}

// handedOn returns the value of SSHD_OPTS as words and where it comes from: the
// file comes before the unit's own Environment.
func handedOn(ctx context.Context, r server.Reader, environment string) ([]string, string, error) {
	e, err := r.Read(ctx, DefaultsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("reading how sshd is started: %w", err)
	}
	if line := optionsLine(e.Content); line >= 0 {
		words, err := optionWords(strings.Split(e.Content, "\n")[line])
		if err != nil {
			return nil, "", fmt.Errorf("%s:%d: %w", DefaultsFile, line+1, err)
		}
		return words, DefaultsFile + ": " + optionsName, nil
	}
	variables, err := Split(environment)
	if err != nil {
		return nil, "", fmt.Errorf("reading the environment of %s: %w", Service, err)
	}
	for _, v := range variables {
		if value, ok := strings.CutPrefix(v, optionsName+"="); ok {
			words, err := Split(value)
			return words, Service + ": Environment", err
		}
	}
	return nil, "", nil
}

// optionsLine returns the index of the last line that sets SSHD_OPTS, -1 if
// none does.
func optionsLine(content string) int {
	at := -1
	for i, line := range strings.Split(content, "\n") {
		if strings.HasPrefix(strings.TrimLeft(line, " \t"), optionsName+"=") {
			at = i
		}
	}
	return at
}

func optionWords(line string) ([]string, error) {
	_, value, _ := strings.Cut(line, "=")
	value = strings.TrimSpace(value)
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	return Split(value)
}

// WithoutOverrides returns the content of [DefaultsFile] without the settings
// in SSHD_OPTS that drop names, and everything else as it was.
func WithoutOverrides(content string, drop func(Override) bool) (string, error) {
	at := optionsLine(content)
	if at < 0 {
		return content, nil
	}
	lines := strings.Split(content, "\n")
	words, err := optionWords(lines[at])
	if err != nil {
		return "", fmt.Errorf("%s:%d: %w", DefaultsFile, at+1, err)
	}
	kept := words[:0:0]
	for i := 0; i < len(words); i++ {
		n := 1
		if words[i] == "-o" && i+1 < len(words) {
			n = 2
		}
		_, overrides, _ := parseOptions(words[i:i+n], DefaultsFile)
		if !slices.ContainsFunc(overrides, drop) {
			kept = append(kept, words[i:i+n]...)
		}
		i += n - 1
	}
	if slices.Equal(kept, words) {
		return content, nil
	}
	for i, w := range kept {
		if strings.ContainsAny(w, " \t") {
			kept[i] = "'" + w + "'"
		}
	}
	lines[at] = fmt.Sprintf("%s=%q", optionsName, strings.Join(kept, " "))
	return strings.Join(lines, "\n"), nil
}
