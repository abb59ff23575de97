package main

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/holdfast-security/holdfast/internal/durable"
	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/site"
)

// labCommand is about disposable servers on this machine.
func (a *app) labCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "lab",
		Short: "Disposable Debian servers on this machine, to try things on",
		Args:  func(_ *cobra.Command, args []string) error { return unknownCommand(args) },
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().StringVar(&id, "lab", "demo", "`name` of the lab")
	c.AddCommand(a.labUp(&id), a.labDown(&id), a.labStatus(&id), a.labSSH(&id), a.labExec(&id), a.labSite(&id), a.labCheck(), a.labAddress(&id))
	return c
}

func (a *app) labUp(id *string) *cobra.Command {
	var o lab.Options
	c := &cobra.Command{
		Use:   "up",
		Short: "Boot servers as a hosting provider hands them out",
		Args:  argsBetween(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := lab.Check(); err != nil {
				return err
			}
			o.Progress = func(line string) { a.say("%s", line) }
			l, err := lab.Up(c.Context(), *id, o)
			if err != nil {
				return err
			}
			return a.printLab(l.Status(c.Context()))
		},
	}
	c.Flags().StringVar(&o.Suite, "suite", lab.DefaultSuite, "Debian `release`: "+strings.Join(lab.Suites, " or "))
	c.Flags().StringSliceVar(&o.Servers, "servers", lab.DefaultServers, "their `names`")
	return c
}

func (a *app) labDown(id *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take the lab down and leave nothing of it behind",
		Args:  argsBetween(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := lab.Open(*id)
			if errors.Is(err, lab.ErrDown) {
				return nil
			}
			if err != nil {
				return err
			}
			return l.Down(c.Context())
		},
	}
}

func (a *app) labStatus(id *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the servers of the lab",
		Args:  argsBetween(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := lab.Open(*id)
			if err != nil {
				return err
			}
			return a.printLab(l.Status(c.Context()))
		},
	}
}

func (a *app) labSSH(id *string) *cobra.Command {
	return &cobra.Command{
		Use:   "ssh NAME [COMMAND…]",
		Short: "Log in to a server as root, as its provider handed it out",
		Args:  argsBetween(1, -1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := labServer(*id, args[0])
			if err != nil {
				return err
			}
			return a.replace(s.SSH(args[1:]...))
		},
	}
}

func (a *app) labExec(id *string) *cobra.Command {
	c := &cobra.Command{
		Use:   "exec NAME COMMAND…",
		Short: "Run a command inside a server as root, as from its console",
		Args:  argsBetween(2, -1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := labServer(*id, args[0])
			if err != nil {
				return err
			}
			cmd, err := s.Command(c.Context(), args[1:]...)
			if err != nil {
				return err
			}
			return a.attach(cmd)
		},
	}
	c.Flags().SetInterspersed(false)
	return c
}

func (a *app) labCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say what this machine lacks to run a lab",
		Args:  argsBetween(0, 0),
		RunE:  func(*cobra.Command, []string) error { return lab.Check() },
	}
}

func (a *app) labAddress(id *string) *cobra.Command {
	return &cobra.Command{
		Use:   "address NAME",
		Short: "Print a server's public address",
		Args:  argsBetween(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := labServer(*id, args[0])
			if err != nil {
				return err
			}
			a.printf("%s\n", s.Addr4())
			return nil
		},
	}
}

// labSite makes a desk for the lab, so that it can be secured at once.
func (a *app) labSite(id *string) *cobra.Command {
	return &cobra.Command{
		Use:   "site DIR",
		Short: "Make a desk for the lab: site file, an admin's key, passwords in secrets.age",
		Args:  argsBetween(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := lab.Open(*id)
			if err != nil {
				return err
			}
			if err := makeLabDesk(l, args[0]); err != nil {
				return err
			}
			a.say("wrote %s", filepath.Join(args[0], "holdfast.yaml"))
			return nil
		},
	}
}

// labAdmin and labRescue are the people of a lab's site.
const (
	labAdmin  = "alice"
	labRescue = "rescue"
)

// makeLabDesk writes what an operator of the lab has. Its key has no passphrase
// and its identity lies beside the secrets that it opens, which only a lab may
// do.
func makeLabDesk(l *lab.Lab, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key := filepath.Join(dir, labAdmin)
	if err := makeLabKey(key); err != nil {
		return err
	}
	recipient, err := site.MakeIdentity(filepath.Join(dir, identityName))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "holdfast.yaml")
	if err := durable.WriteNew(path, []byte(labSiteFile(l, recipient)), 0o644); err != nil {
		return err
	}
	identities, err := site.Identities(filepath.Join(dir, identityName), nil)
	if err != nil {
		return err
	}
	secrets, err := site.OpenSecrets(site.SecretsPath(path), identities)
	if err != nil {
		return err
	}
	all := map[string]server.Secret{}
	for _, account := range []string{labAdmin, labRescue} {
		all[server.PasswordSecret(account)] = server.NewPassword()
	}
	for _, s := range l.Servers() {
		all[site.LoginSecret("root", s.Name())] = server.NewSecret(l.Password())
	}
	for name, secret := range all {
		if err := secrets.Set(name, secret); err != nil {
			return err
		}
	}
	return secrets.Save([]string{recipient})
}

// makeLabKey makes a key pair without a passphrase.
func makeLabKey(path string) error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	block, err := ssh.MarshalPrivateKey(private, labAdmin)
	if err != nil {
		return err
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	if err := durable.WriteNew(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))) + " " + labAdmin + "@desk\n"
	return durable.WriteNew(path+".pub", []byte(text), 0o644)
}

// labSiteFile describes a lab as a site.
func labSiteFile(l *lab.Lab, recipient string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The servers of the lab %q as a site.\nsite: %s\n\nadmins:\n  - name: %s\n    keys: [%s.pub]\n\n"+
		"break_glass: {account: %s}\n\nsecond_factor: {codes: none}\n\nservers:\n", l.ID(), l.ID(), labAdmin, labAdmin, labRescue)
	for _, s := range l.Servers() {
		fmt.Fprintf(&b, "  - name: %s\n    role: %s\n    address: %s\n    address6: %q\n    private: %s\n",
			s.Name(), labRole(s.Name()), s.Addr4(), s.Addr6(), s.Private4())
	}
	fmt.Fprintf(&b, "\nsecrets: {recipients: [%s]}\n", recipient)
	return b.String()
}

// labRole guesses a lab server's role from its name.
func labRole(name string) string {
	switch {
	case strings.HasPrefix(name, "db"):
		return "database"
	case strings.HasPrefix(name, "backup"):
		return "backup"
	}
	return "application"
}

func labServer(id, name string) (*lab.Server, error) {
	l, err := lab.Open(id)
	if err != nil {
		return nil, err
	}
	return l.Server(name)
}

func (a *app) printLab(s lab.Status) error {
	if a.json {
		return a.value(s)
	}
	a.printf("lab %s (%s)\n", s.ID, s.Suite)
	for _, one := range s.Servers {
		state := "off"
		switch {
		case one.SSH != "":
			state = one.SSH
		case one.Running:
			state = "running, sshd does not answer"
		}
		a.printf("  %-12s %-15s %-22s private %-15s %s\n", one.Name, one.Public4, one.Public6, one.Private4, state)
	}
	return nil
}

// replace runs argv with this program's streams and ends with its status.
func (a *app) replace(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return a.attach(&exec.Cmd{Path: path, Args: argv})
}

// attach runs cmd with this program's streams and ends with its status.
func (a *app) attach(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, a.out, a.err
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &exitError{code: exit.ExitCode(), err: fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err), quiet: true}
	}
	return err
}
