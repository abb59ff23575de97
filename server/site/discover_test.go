package site_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

// sshAgent serves an agent that holds keys, and returns its socket.
func sshAgent(t *testing.T, keys ...ed25519.PrivateKey) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k, Comment: "from the agent"}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, conn) // ends when the other side closes
		}
	}()
	return socket
}

func TestFindKeys(t *testing.T) {
	dir := t.TempDir()
	private := map[string]ed25519.PrivateKey{}
	for _, name := range []string{"open", "locked", "public_only", "agent_only"} {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private[name] = key
	}
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"open", "locked", "public_only"} {
		pub, err := ssh.NewPublicKey(private[name].Public())
		if err != nil {
			t.Fatal(err)
		}
		write(name+".pub", ssh.MarshalAuthorizedKey(pub))
	}
	block, err := ssh.MarshalPrivateKey(private["open"], "")
	if err != nil {
		t.Fatal(err)
	}
	write("open", pem.EncodeToMemory(block))
	if block, err = ssh.MarshalPrivateKeyWithPassphrase(private["locked"], "", []byte("x")); err != nil {
		t.Fatal(err)
	}
	write("locked", pem.EncodeToMemory(block))
	write("dsa.pub", []byte(text(t, "dsa.pub")))
	write("sk.pub", []byte("sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIDRXeYbkg5eQwT9YnjYr9JOZLjAmDvHMm/wj18kAEey0AAAABHNzaDo= token\n"))
	write("junk.pub", []byte("junk\n"))
	write("known_hosts", []byte("x\n"))

	found, err := site.FindKeys(dir, sshAgent(t, private["locked"], private["agent_only"]))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]site.FoundKey{}
	var order []string
	for _, k := range found {
		name := strings.TrimSuffix(filepath.Base(k.Path), ".pub")
		got[name] = k
		order = append(order, name)
	}
	if want := "locked open public_only sk ."; strings.Join(order, " ") != want {
		t.Fatalf("found %q, want %q", order, want)
	}
	for name, want := range map[string]struct {
		protection site.Protection
		inAgent    bool
	}{
		"open": {site.ByNothing, false}, "locked": {site.ByPassphrase, true}, "public_only": {site.NotKnown, false},
		"sk": {site.ByHardware, false}, ".": {site.NotKnown, true},
	} {
		if k := got[name]; k.Protection != want.protection || k.InAgent != want.inAgent {
			t.Errorf("%s: protection %s, in the agent: %v", name, k.Protection, k.InAgent)
		}
	}
	if line := got["."].Line; !strings.HasSuffix(line, " from the agent") {
		t.Errorf("the agent's key is %q", line)
	}

	found, err = site.FindKeys(dir, filepath.Join(dir, "no socket"))
	if err == nil || len(found) != 4 {
		t.Errorf("without the agent: %d keys, %v", len(found), err)
	}
	if found, err := site.FindKeys(filepath.Join(dir, "none"), ""); err != nil || len(found) != 0 {
		t.Errorf("nothing there: %v, %v", found, err)
	}
}

func TestMakeKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".ssh", "id_ed25519")
	const passphrase = "sixteen letters!"
	for _, short := range []string{"", "fifteen letters", "äöüäöüäöüäöüäöü"} {
		if _, err := site.MakeKey(path, "alice@laptop", server.NewSecret(short)); err == nil || short != "" && strings.Contains(err.Error(), short) {
			t.Errorf("with the passphrase %q: %v", short, err)
		}
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	k, err := site.MakeKey(path, "alice@laptop", server.NewSecret(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	for p, mode := range map[string]fs.FileMode{path: 0o600, path + ".pub": 0o644, filepath.Dir(path): fs.ModeDir | 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
	found, err := site.FindKeys(filepath.Dir(path), "")
	if err != nil || len(found) != 1 || found[0].Key != k || found[0].Protection != site.ByPassphrase || !strings.HasSuffix(k.Line, " alice@laptop") {
		t.Errorf("found %+v, %v", found, err)
	}
	before, _ := os.ReadFile(path)
	if _, err := site.MakeKey(path, "", server.NewSecret(passphrase)); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("making it again: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the key was overwritten")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := site.MakeKey(path, "", server.NewSecret(passphrase)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the public key alone is there: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a private key was made: %v", err)
	}
}

func TestOpenSSHReadsTheKey(t *testing.T) {
	const passphrase = "sixteen letters!"
	path := filepath.Join(t.TempDir(), "id_ed25519")
	k, err := site.MakeKey(path, "alice@laptop", server.NewSecret(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
			t.Fatal("ssh-keygen (package openssh-client) is needed")
		}
		t.Skip("ssh-keygen (package openssh-client) is needed")
	}
	out, err := exec.Command(keygen, "-y", "-P", passphrase, "-f", path).Output()
	if err != nil || strings.TrimSpace(string(out)) != k.Line {
		t.Errorf("ssh-keygen says %q, %v; want %q", out, err, k.Line)
	}
	if err := exec.Command(keygen, "-y", "-P", "", "-f", path).Run(); err == nil {
		t.Error("the key opens without its passphrase")
	}
}
