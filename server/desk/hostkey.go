package desk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// A HostKey is a host key that was never seen before.
type HostKey struct {
	// Server is the server's name in the site, and Address what was dialled.
	Server, Address string
	// Type is the key's type, such as "ssh-ed25519".
	Type string
	// Fingerprint is as ssh-keygen -l prints it, "SHA256:…".
	Fingerprint string
}

// hostKeyAlgorithms are what is asked for of a server that is not known yet,
// the best first.
func hostKeyAlgorithms() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
	}
}

type knownKey = knownhosts.PublicKey

// pins are the keys that are known for one server.
type pins struct {
	desk    *Desk
	target  Target
	address string
	// strict accepts no key that is not pinned.
	strict bool
	db     *knownhosts.HostKeyDB // nil if there is no file
	name   string                // under which the keys were found, as host:port
	keys   []knownKey
}

// pins looks a target up, under its name and then under its address, as pin
// wrote it.
func (d *Desk) pins(t Target, address string, user []string, strict bool) (*pins, error) {
	d.pinning.Lock()
	defer d.pinning.Unlock()
	p := &pins{desk: d, target: t, address: address, strict: strict, name: net.JoinHostPort(t.Name, "22")}
	var files []string
	if d.config.KnownHosts != "" {
		files = append(files, d.config.KnownHosts)
	}
	if t.foreign {
		files = append(files, user...)
	}
	files = slices.DeleteFunc(files, func(f string) bool {
		_, err := os.Stat(f)
		return errors.Is(err, fs.ErrNotExist)
	})
	if len(files) == 0 {
		return p, nil
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, fmt.Errorf("reading the known host keys: %w", err)
	}
	p.db = db
	names := []string{p.name}
	switch {
	case t.foreign:
		names = []string{address}
	case t.Jump == nil:
		names = append(names, address)
	}
	for _, name := range names {
		if p.keys = db.HostKeys(name); len(p.keys) > 0 {
			p.name = name
			break
		}
	}
	return p, nil
}

// algorithms are those of the pinned keys; without any, all.
func (p *pins) algorithms() []string {
	if len(p.keys) == 0 {
		return hostKeyAlgorithms()
	}
	return slices.DeleteFunc(p.db.HostKeyAlgorithms(p.name), func(a string) bool { return a == ssh.KeyAlgoRSA || a == "ssh-dss" })
}

// check is the host key callback. ask runs f outside of any deadline.
func (p *pins) check(ctx context.Context, key ssh.PublicKey, ask func(f func() error) error) error {
	if len(p.keys) > 0 {
		err := p.db.HostKeyCallback()(p.name, &net.TCPAddr{IP: net.IPv4zero}, key)
		if err == nil || !knownhosts.IsHostKeyChanged(err) {
			return err
		}
		return p.changed(err, describe(key))
	}
	k := HostKey{Server: p.target.Name, Address: p.address, Type: key.Type(), Fingerprint: ssh.FingerprintSHA256(key)}
	d := p.desk
	if p.strict || d.config.KnownHosts == "" || d.config.Prompter == nil && !d.config.AcceptNewHostKeys {
		return &UnknownHostKeyError{Key: k}
	}
	return ask(func() error {
		d.asking.Lock()
		defer d.asking.Unlock()
		// Another connection to the same server may have asked in the meantime.
		now, err := d.pins(p.target, p.address, nil, true)
		if err != nil {
			return err
		}
		if len(now.keys) > 0 {
			return now.check(ctx, key, ask)
		}
		if !d.config.AcceptNewHostKeys {
			ok, err := d.config.Prompter.AcceptHostKey(ctx, k)
			if err != nil {
				return err
			}
			if !ok {
				return &UnknownHostKeyError{Key: k}
			}
		}
		return d.pin(p.target, p.address, key)
	})
}

// changed makes the error for a key that is not the pinned one.
func (p *pins) changed(err error, offered string) error {
	e := &HostKeyChangedError{Server: p.target.Name, Offered: offered}
	var key *xknownhosts.KeyError
	if errors.As(err, &key) && len(key.Want) > 0 {
		want := key.Want[0]
		for _, w := range key.Want {
			if strings.HasPrefix(offered, w.Key.Type()+" ") {
				want = w
			}
		}
		e.File, e.Line, e.Pinned = want.Filename, want.Line, describe(want.Key)
	}
	return e
}

// missing makes the error for a server that has no key of a pinned type.
func (p *pins) missing(offered []string) error {
	nothing := p.db.HostKeyCallback()(p.name, &net.TCPAddr{IP: net.IPv4zero}, noKey{})
	return p.changed(nothing, "only keys of the types "+strings.Join(offered, ", "))
}

// A noKey is a key that is never the right one.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

func describe(k ssh.PublicKey) string { return k.Type() + " " + ssh.FingerprintSHA256(k) }

// pin adds a key to the site's file, under the server's name and, unless it is
// behind a jump host, where addresses need not be unique, under its address. A
// host that the site does not name has its address only.
// The file may be shared with other programs: one write adds one whole line.
func (d *Desk) pin(t Target, address string, key ssh.PublicKey) error {
	d.pinning.Lock()
	defer d.pinning.Unlock()
	path := d.config.KnownHosts
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("pinning the host key of %s: %w", t.Name, err)
	}
	defer f.Close()
	names := []string{t.Name}
	switch {
	case t.foreign:
		names = []string{address}
	case t.Jump == nil && knownhosts.Normalize(address) != t.Name:
		names = append(names, address)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("pinning the host key of %s: %w", t.Name, err)
	}
	line := knownhosts.Line(names, key) + "\n"
	if strings.Contains("\n"+string(text), "\n"+line) {
		return nil
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		line = "\n" + line
	}
	if _, err := f.WriteString(line); err != nil {
		return fmt.Errorf("pinning the host key of %s: %w", t.Name, err)
	}
	return f.Sync()
}
