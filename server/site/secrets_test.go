package site_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

const hush = "correct horse battery: 'staple'\n\"é"

func identity(t *testing.T) ([]age.Identity, []string) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return []age.Identity{id}, []string{id.Recipient().String()}
}

func open(t *testing.T, path string, ids []age.Identity) *site.Secrets {
	t.Helper()
	s, err := site.OpenSecrets(path, ids)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func set(t *testing.T, s *site.Secrets, name, content string) {
	t.Helper()
	if err := s.Set(name, server.NewSecret(content)); err != nil {
		t.Fatal(err)
	}
}

func TestSecrets(t *testing.T) {
	path := site.SecretsPath(filepath.Join(t.TempDir(), "holdfast.yaml"))
	if filepath.Base(path) != "secrets.age" {
		t.Errorf("the path is %s", path)
	}
	ids, to := identity(t)
	s := open(t, path, nil) // a missing file is an empty set for anybody
	if names := s.Names(); len(names) != 0 {
		t.Errorf("a missing file holds %q", names)
	}
	s = open(t, path, ids)
	set(t, s, server.PasswordSecret("alice"), hush)
	set(t, s, site.LoginSecret("root", "app-1.example.com"), "x")
	set(t, s, "password/gone", "y")
	s.Remove("password/gone")
	if err := s.Save(to); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode() != 0o600 || bytes.Contains(data, []byte("alice")) || bytes.Contains(data, []byte("horse")) {
		t.Errorf("the file has mode %v and holds %s", info.Mode(), data)
	}

	again := open(t, path, ids)
	if want := []string{"login/root@app-1.example.com", "password/alice"}; !reflect.DeepEqual(again.Names(), want) {
		t.Errorf("names %q, want %q", again.Names(), want)
	}
	if got := again.Get("password/alice").Reveal(); got != hush {
		t.Errorf("got %q", got)
	}
	if !again.Get("password/bob").IsZero() {
		t.Error("a secret nobody has set")
	}
	// The first one may save again, the second has then seen an older file.
	set(t, s, "password/bob", "z")
	if err := s.Save(to); err != nil {
		t.Fatal(err)
	}
	changed := (*site.ChangedError)(nil)
	if err := again.Save(to); !errors.As(err, &changed) || changed.Path != path {
		t.Errorf("overwriting what was not seen: %v", err)
	}
	if got := open(t, path, ids).Get("password/bob").Reveal(); got != "z" {
		t.Errorf("bob's password became %q", got)
	}
}

func TestSecretsForSeveral(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.age")
	alice, toAlice := identity(t)
	bob, toBob := identity(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path, alice)
	set(t, s, "password/alice", "x")
	if err := s.Save(toBob); err == nil {
		t.Error("saved for others alone")
	}
	if err := s.Save(nil); err == nil {
		t.Error("saved for nobody")
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
	if err := s.Save(append(append(toAlice, toBob...), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))))); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	keyFile := func(name, passphrase string) string {
		block, err := ssh.MarshalPrivateKey(private, "")
		if passphrase != "" {
			block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	asked := ""
	ask := func(path string) (server.Secret, error) {
		asked = path
		return server.NewSecret("open sesame 123"), nil
	}
	plain, err := site.Identities(keyFile("plain", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	locked, err := site.Identities(keyFile("locked", "open sesame 123"), ask)
	if err != nil || asked != filepath.Join(dir, "locked") {
		t.Fatal(asked, err)
	}
	if _, err := site.Identities(keyFile("other", "something else"), ask); err == nil {
		t.Error("a wrong passphrase opens a key")
	}
	if _, err := site.Identities(filepath.Join(dir, "locked"), nil); err == nil {
		t.Error("no passphrase opens a key")
	}
	for name, ids := range map[string][]age.Identity{"bob": bob, "plain": plain, "locked": locked} {
		if got := open(t, path, ids).Get("password/alice").Reveal(); got != "x" {
			t.Errorf("%s reads %q", name, got)
		}
	}
	other, _ := identity(t)
	var none *age.NoIdentityMatchError
	for _, ids := range [][]age.Identity{other, nil} {
		if _, err := site.OpenSecrets(path, ids); !errors.As(err, &none) || !strings.Contains(err.Error(), path) {
			t.Errorf("opened by a stranger: %v", err)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	ids, _ := identity(t)
	s := open(t, filepath.Join(t.TempDir(), "secrets.age"), ids)
	set(t, s, "password/alice", hush)
	type holder struct {
		s *site.Secrets
		v site.Secrets
	}
	var out strings.Builder
	for _, v := range []any{s, *s, holder{s, *s}, []*site.Secrets{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	for _, err := range []error{s.Set("no name", server.NewSecret(hush)), s.Set("password/bob", server.Secret{}), s.Save(nil), s.Save([]string{hush})} {
		if err == nil {
			t.Error("no error")
			continue
		}
		fmt.Fprintf(&out, "%+v", err)
	}
	if id := ids[0].(*age.X25519Identity).String(); strings.Contains(out.String(), "horse") || strings.Contains(out.String(), fmt.Sprintf("%x", "horse")) || strings.Contains(out.String(), id) {
		t.Errorf("it prints %s", out.String())
	}
}

func TestBrokenSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.age")
	ids, to := identity(t)
	seal := func(plain string) []byte {
		t.Helper()
		r, err := age.ParseX25519Recipient(to[0])
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, err := age.Encrypt(&b, r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(plain)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	whole := seal("password/alice: hunter2\n")
	bent := bytes.Clone(whole)
	bent[len(bent)-1] ^= 1
	for name, data := range map[string][]byte{
		"empty": nil, "text": []byte("password/alice: hunter2\n"), "cut": whole[:len(whole)-1], "bent": bent,
		"a list": seal("- hunter2\n"), "no YAML": seal("hunter2: hunter2: x\n"), "bad name": seal("hunter2: hunter2\n"),
		"no text": seal("password/alice: ''\n"), "not text": seal("password/alice: [hunter2]\n"), "twice": seal("password/a: hunter2\npassword/a: hunter2\n"),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := site.OpenSecrets(path, ids)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What age itself wrote, without armor, is read.
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := open(t, path, ids).Get("password/alice").Reveal(); got != "hunter2" {
		t.Errorf("got %q", got)
	}
}

func TestIdentities(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "identity.txt")
	to, err := site.MakeIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(path)
	parent, _ := os.Stat(filepath.Dir(path))
	if info.Mode() != 0o600 || parent.Mode().Perm() != 0o700 {
		t.Errorf("modes %v and %v", info.Mode(), parent.Mode())
	}
	ids, err := site.Identities(path, nil)
	if err != nil || !reflect.DeepEqual(site.RecipientsOf(ids), []string{to}) {
		t.Errorf("got %v, %v; want %s", site.RecipientsOf(ids), err, to)
	}
	before, _ := os.ReadFile(path)
	if _, err := site.MakeIdentity(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("making it again: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the identity was overwritten")
	}

	// The same, encrypted with a passphrase by the age program.
	r, err := age.NewScryptRecipient("a long passphrase")
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(10)
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(before); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(dir, "locked.age")
	if err := os.WriteFile(locked, sealed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	say := func(text string) site.AskPassphrase {
		return func(string) (server.Secret, error) { return server.NewSecret(text), nil }
	}
	if ids, err := site.Identities(locked, say("a long passphrase")); err != nil || !reflect.DeepEqual(site.RecipientsOf(ids), []string{to}) {
		t.Errorf("unlocked: %v, %v", site.RecipientsOf(ids), err)
	}
	for name, ask := range map[string]site.AskPassphrase{"wrong": say("another"), "empty": say(""), "nobody": nil} {
		if _, err := site.Identities(locked, ask); err == nil || !strings.Contains(err.Error(), locked) {
			t.Errorf("%s: %v", name, err)
		}
	}

	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	wide := (*site.OpenFileError)(nil)
	if _, err := site.Identities(path, nil); !errors.As(err, &wide) || wide.Mode != 0o640 {
		t.Errorf("readable by others: %v", err)
	}
	if _, err := site.Identities(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	cut := filepath.Join(dir, "cut")
	if err := os.WriteFile(cut, before[:len(before)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := site.Identities(cut, nil); err == nil || strings.Contains(err.Error(), "AGE-SECRET") {
		t.Errorf("cut off: %v", err)
	}
}
