package desk

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxOffered is how many keys are offered to an account whose keys are not
// known. The daemon counts each against MaxAuthTries, 6 by default, and a
// password must still find room.
const maxOffered = 4

// A fileKey is a private key in a file. It is opened when a signature is needed,
// not before, so that no passphrase is asked for in vain.
type fileKey struct {
	path   string
	pem    []byte
	public ssh.PublicKey

	mu     sync.Mutex
	opened ssh.Signer
}

// readKey returns nil if there is no key that could be used at path: only its
// public half, or a form that this program cannot read.
func readKey(path string) (*fileKey, error) {
	pem, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := &fileKey{path: path, pem: pem}
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		k.opened, k.public = signer, signer.PublicKey()
	case errors.As(err, &locked) && locked.PublicKey != nil:
		k.public = locked.PublicKey
	case errors.As(err, &locked):
		// The older form does not say whose secret it is; ssh-keygen puts the
		// public half beside it.
		k.public = readPublic(path + ".pub")
	}
	if k.public == nil {
		return nil, nil
	}
	return k, nil
}

func readPublic(path string) ssh.PublicKey {
	line, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil
	}
	return key
}

// open returns the key's signer; if it is locked, ask is called for the
// passphrase, up to three times.
func (k *fileKey) open(ask func(again bool) ([]byte, error)) (ssh.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for try := 0; k.opened == nil; try++ {
		passphrase, err := ask(try > 0)
		if err != nil {
			return nil, err
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(k.pem, passphrase)
		switch {
		case err == nil:
			k.opened = signer
		case !errors.Is(err, x509.IncorrectPasswordError) || try == 2:
			return nil, fmt.Errorf("opening the key %s: %w", k.path, err)
		}
	}
	return k.opened, nil
}

// A heldKey is a private key that this desk holds, in a file or in an agent.
type heldKey struct {
	public ssh.PublicKey
	// file is nil for a key of the agent, which has a signer.
	file   *fileKey
	signer ssh.Signer
}

// A signer uses a heldKey for one connection.
type signer struct {
	heldKey
	desk  *Desk
	ctx   context.Context // of the dialling; the library has no room for one
	watch *watch
}

func (s *signer) PublicKey() ssh.PublicKey { return s.public }

func (s *signer) Sign(r io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(r, data, "")
}

// SignWithAlgorithm asks for a passphrase if it has to. It does not outlive the
// connection, even if the agent does not answer.
func (s *signer) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	type signed struct {
		signature *ssh.Signature
		err       error
	}
	done := make(chan signed, 1)
	go func() {
		signature, err := s.sign(data, algorithm)
		done <- signed{signature, err}
	}()
	select {
	case got := <-done:
		s.watch.fail(got.err)
		return got.signature, got.err
	case <-s.watch.over:
		return nil, net.ErrClosed
	}
}

func (s *signer) sign(data []byte, algorithm string) (*ssh.Signature, error) {
	private := s.signer
	if s.file != nil {
		var err error
		if private, err = s.file.open(s.ask); err != nil {
			return nil, err
		}
	}
	if with, ok := private.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return with.SignWithAlgorithm(rand.Reader, data, algorithm)
	}
	return private.Sign(rand.Reader, data)
}

func (s *signer) ask(again bool) (answer []byte, err error) {
	err = s.watch.paused(func() error {
		secret, err := s.desk.ask(s.ctx, Question{Kind: Passphrase, File: s.file.path, Again: again})
		answer = []byte(secret.Reveal())
		return err
	})
	return answer, err
}

// agentKeys are the keys of one agent.
type agentKeys struct {
	conn    net.Conn
	signers []ssh.Signer
}

func (a *agentKeys) close() {
	if a.conn != nil {
		a.conn.Close()
	}
}

// agent returns the keys of the agent at socket. An agent that does not answer
// has none: other keys may do.
func (d *Desk) agent(ctx context.Context, socket string) *agentKeys {
	d.mu.Lock()
	defer d.mu.Unlock()
	if a := d.agents[socket]; a != nil {
		return a
	}
	a := &agentKeys{}
	d.agents[socket] = a
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		d.log.Debug("the agent does not answer", "socket", socket, "error", err)
		return a
	}
	a.conn = conn
	conn.SetDeadline(time.Now().Add(d.limits.connect))
	defer conn.SetDeadline(time.Time{})
	if a.signers, err = agent.NewClient(conn).Signers(); err != nil {
		d.log.Debug("the agent does not list its keys", "socket", socket, "error", err)
	}
	return a
}

// held returns the keys that this desk could use for a host, those of the agent
// first, because they need no passphrase.
func (d *Desk) held(ctx context.Context, s *settings) ([]heldKey, error) {
	var all, files []heldKey
	var named []ssh.PublicKey // by IdentityFile
	for _, path := range slices.Concat(s.identityFiles, d.config.KeyFiles) {
		key, err := d.file(path)
		if err != nil {
			return nil, fmt.Errorf("reading the key %s: %w", path, err)
		}
		if key != nil {
			named = append(named, key.public)
			files = append(files, heldKey{public: key.public, file: key})
			continue
		}
		for _, p := range []string{path, path + ".pub"} {
			if public := readPublic(p); public != nil {
				named = append(named, public)
			}
		}
	}
	socket := s.identityAgent
	if socket == "" || socket == "SSH_AUTH_SOCK" || socket == "$SSH_AUTH_SOCK" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket != "" && socket != "none" {
		for _, signer := range d.agent(ctx, socket).signers {
			if !s.identitiesOnly || contains(named, bare(signer.PublicKey())) {
				all = append(all, heldKey{public: signer.PublicKey(), signer: signer})
			}
		}
	}
	for _, key := range files {
		if !has(all, key) {
			all = append(all, key)
		}
	}
	return all, nil
}

func (d *Desk) file(path string) (*fileKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k, ok := d.files[path]; ok {
		return k, nil
	}
	k, err := readKey(path)
	if err == nil {
		d.files[path] = k
	}
	return k, err
}

// offer picks the keys to offer to an account: those whose public halves are
// among wanted, in that order; if there are none wanted, the first few, those
// that are known to the site before others.
func offer(held []heldKey, wanted, site []ssh.PublicKey) []heldKey {
	var out []heldKey
	pick := func(from []ssh.PublicKey) {
		for _, w := range from {
			for _, k := range held {
				if same(bare(k.public), w) && !has(out, k) {
					out = append(out, k)
				}
			}
		}
	}
	pick(wanted)
	if len(wanted) > 0 {
		return out
	}
	pick(site)
	for _, k := range held {
		if !has(out, k) {
			out = append(out, k)
		}
	}
	return out[:min(len(out), maxOffered)]
}

func has(all []heldKey, k heldKey) bool {
	return slices.ContainsFunc(all, func(a heldKey) bool { return same(a.public, k.public) })
}

// bare returns the key that a certificate is about.
func bare(k ssh.PublicKey) ssh.PublicKey {
	if c, ok := k.(*ssh.Certificate); ok {
		return c.Key
	}
	return k
}

func same(a, b ssh.PublicKey) bool {
	return a.Type() == b.Type() && string(a.Marshal()) == string(b.Marshal())
}

func contains(all []ssh.PublicKey, k ssh.PublicKey) bool {
	return slices.ContainsFunc(all, func(a ssh.PublicKey) bool { return same(a, k) })
}

// publicKeys parses lines of authorized_keys.
func publicKeys(lines []string) ([]ssh.PublicKey, error) {
	var all []ssh.PublicKey
	for _, line := range lines {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return nil, fmt.Errorf("%q is no public key: %w", line, err)
		}
		all = append(all, key)
	}
	return all, nil
}
