package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-security/holdfast/server/desk"
	"github.com/holdfast-security/holdfast/server/site"
	"github.com/holdfast-security/holdfast/server/sshclient"
)

// sshConfigCommand makes plain ssh reach the servers.
func (a *app) sshConfigCommand() *cobra.Command {
	var print bool
	var config string
	c := &cobra.Command{
		Use:   "ssh-config",
		Short: "Make plain ssh reach the servers by their names, through their jump hosts",
		Long: `Make plain ssh reach the servers by their names, through their jump hosts.

It writes the servers of the site into a file of its own, holdfast/SITE.conf
beside ~/.ssh/config, and puts one Include line on top of that; nothing else in
it changes. Run it again after changes of the site.`,
		Args: argsBetween(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := a.fleet(nil)
			if err != nil {
				return err
			}
			defer f.desk.Close()
			return f.sshConfig(c.Context(), config, print)
		},
	}
	c.Flags().BoolVar(&print, "print", false, "print the file instead of writing anything")
	c.Flags().StringVar(&config, "config", "", "the ssh configuration `file` (default: ~/.ssh/config)")
	return c
}

// sshConfigResult is what was written, as JSON.
type sshConfigResult struct {
	Config  string   `json:"config"`
	User    string   `json:"user"`
	Hosts   []string `json:"hosts"`
	Written []string `json:"written"`
	// Shadowed are names that lead to servers of another site.
	Shadowed []string `json:"shadowed,omitempty"`
}

func (f *fleet) sshConfig(ctx context.Context, config string, print bool) error {
	if config == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		config = filepath.Join(home, ".ssh", "config")
	}
	config, err := filepath.Abs(config)
	if err != nil {
		return err
	}
	s, keys, err := f.sshSite(ctx, sshclient.Dir(config))
	if err != nil {
		return err
	}
	if print {
		text, err := s.Text()
		if err != nil {
			return err
		}
		_, err = f.out.Write([]byte(text))
		return err
	}
	done, err := sshclient.Install(ctx, s, keys, config)
	if err != nil {
		return err
	}
	if f.json {
		return f.value(sshConfigResult{Config: config, User: s.User, Hosts: serverNames(f.servers), Written: append([]string{}, done.Written...), Shadowed: done.Shadowed})
	}
	for _, path := range done.Written {
		f.printf("wrote %s\n", path)
	}
	if len(done.Written) == 0 {
		f.printf("nothing to change\n")
	}
	for _, name := range done.Shadowed {
		f.printf("ssh %s leads to another site's server: type %s.%s\n", name, name, f.site.Name)
	}
	f.printf("ssh reaches %s as %s\n", strings.Join(serverNames(f.servers), ", "), s.User)
	return nil
}

// sshSite is what ssh has to know of the site, and the public keys that it finds
// in dir, by the names of their files.
func (f *fleet) sshSite(ctx context.Context, dir string) (sshclient.Site, map[string]string, error) {
	login, err := f.whose(ctx)
	if err != nil {
		return sshclient.Site{}, nil, err
	}
	known, err := filepath.Abs(filepath.Join(filepath.Dir(f.sitePath), "known_hosts"))
	if err != nil {
		return sshclient.Site{}, nil, err
	}
	s := sshclient.Site{Name: f.site.Name, User: login.User, KnownHosts: known}
	keys := map[string]string{}
	for _, srv := range f.servers {
		way, err := f.desk.Way(ctx, f.target(srv), login)
		if err != nil {
			return s, nil, err
		}
		h := sshclient.Host{
			Name: srv.Name, Address: way.Address, Port: srv.Port, Jump: srv.Jump, Agent: srv.AgentForwarding,
			ProxyJump: way.ProxyJump, ProxyCommand: way.ProxyCommand,
		}
		for i, k := range way.Keys {
			path := k.File
			if path == "" {
				// Without its private half beside it, ssh takes the public one
				// for the name of a key in the agent.
				name := fmt.Sprintf("%s.%s.%d.pub", f.site.Name, login.User, i+1)
				keys[name], path = k.Line+"\n", filepath.Join(dir, name)
			}
			if path, err = filepath.Abs(path); err != nil {
				return s, nil, err
			}
			h.Identities = append(h.Identities, path)
		}
		s.Hosts = append(s.Hosts, h)
	}
	return s, keys, nil
}

// whose is the admin at this desk: the one of --as, the only one, or the only
// one whose key is here.
func (f *fleet) whose(ctx context.Context) (desk.Login, error) {
	all := f.logins()
	if len(all) == 1 {
		return all[0], nil
	}
	var here []desk.Login
	for _, l := range all {
		way, err := f.desk.Way(ctx, f.target(f.servers[0]), l)
		if err != nil {
			return desk.Login{}, err
		}
		for _, k := range way.Keys {
			if k.Held {
				here = append(here, l)
				break
			}
		}
	}
	if len(here) != 1 {
		return desk.Login{}, usage("the keys at this desk do not say which admin is to log in: name one with --as (%s)", strings.Join(adminsOf(f.site), ", "))
	}
	return here[0], nil
}

func adminsOf(s *site.Site) []string {
	names := make([]string, len(s.Admins))
	for i, a := range s.Admins {
		names[i] = a.Name
	}
	return names
}
