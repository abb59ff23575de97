// Package smtp hands mail of an outbox to a mail server (RFC 5321), over TLS.
//
//	server := &smtp.Server{Addr: "mail.example.org:587", User: "todo", Password: secret, From: "todo@example.org"}
//	sent, err := outbox.Deliver(ctx, store, server.Send, 20)
//
// The connection is encrypted, by STARTTLS or from the beginning, and the server's
// certificate verified; a server that offers no TLS is refused, unless it is on a
// loopback address. A mail is plain text in UTF-8, quoted-printable; what is in it
// cannot make a header or a second recipient, since [outbox.Mail.Check] is asked
// again here.
//
// If the server does not take the mail, Send fails and the mail stays in the outbox.
package smtp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/app/outbox"
)

// ErrNoTLS says that a server does not encrypt.
var ErrNoTLS = errors.New("server offers no TLS")

// Timeout bounds the delivery of one mail.
const Timeout = 30 * time.Second

// A Server is the mail server that takes the program's mail. Addr and From are
// needed.
type Server struct {
	Addr string // host and port; 587 begins with STARTTLS, 465 with TLS
	// From is the sender's address, bare.
	From string
	// User and Password log in; empty means without.
	User, Password string
	// Implicit begins with TLS; it is what port 465 does anyway.
	Implicit bool
	// TLS is for roots of one's own; nil means the system's. The server's name is
	// set.
	TLS *tls.Config
}

// Send hands one mail to the server. It is an [outbox.Sender].
func (s *Server) Send(ctx context.Context, m outbox.Mail) error {
	if err := m.Check(); err != nil {
		return err
	}
	text, err := s.message(m, time.Now())
	if err != nil {
		return err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if s.User != "" {
		host, _, _ := net.SplitHostPort(s.Addr) // connect has taken it apart already
		if err := c.Auth(smtp.PlainAuth("", s.User, s.Password, host)); err != nil {
			return fmt.Errorf("logging in to %s: %w", s.Addr, err)
		}
	}
	if err := c.Mail(s.From); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if err := c.Rcpt(m.To); err != nil {
		return fmt.Errorf("recipient: %w", err)
	}
	w, err := c.Data()
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	// The server has taken the mail: what goes wrong now is no reason to send it
	// again.
	_ = c.Quit()
	return nil
}

// connect returns an encrypted connection.
func (s *Server) connect(ctx context.Context) (*smtp.Client, error) {
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, fmt.Errorf("address of the mail server: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TLS != nil {
		config = s.TLS.Clone()
	}
	config.ServerName = host
	dialer := &net.Dialer{Timeout: Timeout}
	conn, err := dialer.DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	until := time.Now().Add(Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	if err := conn.SetDeadline(until); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	remote := conn.RemoteAddr()
	if s.Implicit || port == "465" {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return nil, fmt.Errorf("greeting of %s: %w", s.Addr, errors.Join(err, conn.Close()))
	}
	if _, encrypted := c.TLSConnectionState(); encrypted {
		return c, nil
	}
	if ok, _ := c.Extension("STARTTLS"); !ok {
		if a, isTCP := remote.(*net.TCPAddr); isTCP && a.IP.IsLoopback() {
			return c, nil
		}
		return nil, fmt.Errorf("%s: %w", s.Addr, errors.Join(ErrNoTLS, c.Close()))
	}
	if err := c.StartTLS(config); err != nil {
		return nil, fmt.Errorf("TLS with %s: %w", s.Addr, errors.Join(err, c.Close()))
	}
	return c, nil
}

// message writes headers and text.
func (s *Server) message(m outbox.Mail, now time.Time) ([]byte, error) {
	from, err := mail.ParseAddress(s.From)
	if err != nil || from.Address != s.From {
		return nil, fmt.Errorf("sender %q is no bare address: %w", s.From, outbox.ErrMail)
	}
	_, domain, _ := strings.Cut(s.From, "@")
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()},
		{"To", (&mail.Address{Address: m.To}).String()},
		{"Subject", mime.QEncoding.Encode("utf-8", m.Subject)},
		{"Date", now.Format(time.RFC1123Z)},
		{"Message-ID", "<" + rand.Text() + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834: no robot answers
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	if _, err := q.Write([]byte(m.Text)); err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	if err := q.Close(); err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	return b.Bytes(), nil
}
