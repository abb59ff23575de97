package smtp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/app/outbox"
)

// aiosmtpd is a mail server that says what it took, one JSON object in a line; it
// stops when its standard input ends.
const aiosmtpd = `
import json, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": (session.auth_data or b"").decode(), "data": envelope.content.decode()}), flush=True)
        return "250 OK"
def auth(server, session, envelope, mechanism, data):
    if (data.login, data.password) == (b"todo", b"secret"):
        return AuthResult(success=True, auth_data=data.login)
    return AuthResult(success=False, handled=False)
mode, cert, key = sys.argv[1:]
kw = {}
if mode != "plain":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    kw = {"ssl_context": context} if mode == "implicit" else {"tls_context": context, "require_starttls": True, "authenticator": auth, "auth_required": True}
import socket
probe = socket.socket(); probe.bind(("127.0.0.1", 0)); port = probe.getsockname()[1]; probe.close()
c = Controller(Handler(), hostname="127.0.0.1", port=port, **kw)
c.start()
print(port, flush=True)
sys.stdin.read()
c.stop()
`

type taken struct {
	From, User, Data string
	To               []string
	TLS              bool
}

// start runs a real mail server and returns its address and what it takes.
func start(t *testing.T, mode string) (addr string, next func() taken, roots *x509.CertPool) {
	t.Helper()
	const python = "/usr/bin/python3"
	if err := exec.CommandContext(t.Context(), python, "-c", "import aiosmtpd").Run(); err != nil {
		if os.Getenv("HOLDFAST_MUST_RUN") == "1" {
			t.Fatalf("python3-aiosmtpd: %v", err)
		}
		t.Skipf("python3-aiosmtpd: %v", err)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	roots = certificate(t, cert, key)
	cmd := exec.CommandContext(t.Context(), python, "-c", aiosmtpd, mode, cert, key)
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin", "PYTHONWARNINGS=ignore"}
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	t.Cleanup(func() {
		in.Close()
		cmd.Wait() // ended by us
		if t.Failed() {
			t.Logf("the mail server says: %s", &said)
		}
	})
	if !lines.Scan() {
		t.Fatalf("the mail server does not start: %v", lines.Err())
	}
	return net.JoinHostPort("127.0.0.1", lines.Text()), func() (m taken) {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("the mail server took nothing")
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}, roots
}

func certificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return pool
}

var letter = outbox.Mail{
	To: "anna@example.org", Subject: "Grüße und ein langer Betreff, der in eine Zeile nicht passt, weil er so lang ist",
	Text: "Zeile eins\n.\n..zwei\nhttps://todo.example.org/reset?token=" + strings.Repeat("A", 100) + "=\nEnde \U0001f600\n",
}

func TestSend(t *testing.T) {
	for _, mode := range []string{"starttls", "implicit", "plain"} {
		t.Run(mode, func(t *testing.T) {
			addr, next, roots := start(t, mode)
			s := &Server{Addr: addr, From: "todo@example.org", Implicit: mode == "implicit", TLS: &tls.Config{RootCAs: roots}}
			if mode == "starttls" {
				s.User, s.Password = "todo", "secret"
			}
			if err := s.Send(t.Context(), letter); err != nil {
				t.Fatalf("Send: %v", err)
			}
			got := next()
			if got.From != s.From || len(got.To) != 1 || got.To[0] != letter.To || got.TLS != (mode != "plain") || got.User != s.User {
				t.Errorf("envelope %+v", got)
			}
			check(t, got.Data)
			refused := letter
			refused.To = "refused@example.org"
			if err := s.Send(t.Context(), refused); err == nil || !strings.Contains(err.Error(), "550") {
				t.Errorf("a refused recipient: %v", err)
			}
			if mode == "plain" {
				return
			}
			s.TLS = nil // the system's roots do not know this server
			if err := s.Send(t.Context(), letter); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("an unknown certificate: %v", err)
			}
			s.TLS, s.User, s.Password = &tls.Config{RootCAs: roots}, "todo", "wrong"
			if err := s.Send(t.Context(), letter); err == nil || strings.Contains(err.Error(), "wrong") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

// check reads what the server took as a mail program would.
func check(t *testing.T, data string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != letter.Subject {
		t.Errorf("subject %q, %v", subject, err)
	}
	text, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if got := strings.ReplaceAll(string(text), "\r\n", "\n"); err != nil || got != letter.Text {
		t.Errorf("text %q, %v", got, err)
	}
	if d, err := m.Header.Date(); err != nil || time.Since(d) > time.Minute {
		t.Errorf("date %v, %v", d, err)
	}
	for _, name := range []string{"Message-Id", "From", "To", "Auto-Submitted"} {
		if len(m.Header[name]) != 1 {
			t.Errorf("header %s: %q", name, m.Header[name])
		}
	}
}

func TestNothingIsSmuggled(t *testing.T) {
	s := &Server{Addr: "127.0.0.1:1", From: "todo@example.org"}
	for _, m := range []outbox.Mail{
		{To: "anna@example.org\r\nBcc: eve@example.org", Subject: "x"},
		{To: "anna@example.org>\r\nRCPT TO:<eve@example.org", Subject: "x"},
		{To: "anna@example.org", Subject: "x\r\nBcc: eve@example.org"},
	} {
		if err := s.Send(t.Context(), m); !errors.Is(err, outbox.ErrMail) {
			t.Errorf("%q: %v", m, err)
		}
	}
	text, err := s.message(outbox.Mail{To: "anna@example.org", Subject: "x", Text: "a\r\n.\r\nMAIL FROM:<eve>\nb"}, time.Now())
	if err != nil || strings.Count(string(text), "\r\n\r\n") != 1 {
		t.Errorf("%q, %v", text, err)
	}
	for _, from := range []string{"", "To-do <todo@example.org>", "todo@example.org\r\nX: y"} {
		s.From = from
		if _, err := s.message(letter, time.Now()); !errors.Is(err, outbox.ErrMail) {
			t.Errorf("sender %q: %v", from, err)
		}
	}
}

func TestContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	s := &Server{Addr: silent.Addr().String(), From: "todo@example.org"}
	if err := s.Send(ctx, letter); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("a server that says nothing: %v after %v", err, time.Since(began))
	}
}
