package ask

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"charm.land/huh/v2"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

// servers asks for servers until there is one and the person has no more.
func (a *asker) servers(to *site.Answers) error {
	for {
		more := len(to.Servers) == 0
		if !more {
			if err := a.form(huh.NewConfirm().Title("Another server?").Value(&more)); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		srv, err := a.server(to.Servers)
		if err != nil {
			return err
		}
		to.Servers = append(to.Servers, srv)
	}
}

// server asks for one server beside others.
func (a *asker) server(others []site.Server) (site.Server, error) {
	srv := site.Server{}
	for len(srv.Roles) == 0 {
		// A rule in the field itself would ask for ever when the input ends.
		err := a.form(huh.NewMultiSelect[server.Role]().Title("What is the server for? (one or more)").Options(
			huh.NewOption("application: people reach it over the internet", server.Application),
			huh.NewOption("database: keeps the user data, reached by application servers alone", server.Database),
			huh.NewOption("backup: keeps copies of the database", server.Backup),
		).Value(&srv.Roles))
		if err != nil {
			return srv, err
		}
	}
	srv.Name = freeName(srv.Roles[0], others)
	srv.FirstLogin = "root"
	port := "22"
	fields := []huh.Field{
		a.input("Name of the server", "", &srv.Name, func(name string) error {
			if slices.ContainsFunc(others, func(o site.Server) bool { return o.Name == name }) {
				return fmt.Errorf("there is a server %s already", name)
			}
			return site.CheckServerName(name)
		}),
	}
	if len(others) > 0 {
		fields = append(fields, a.jump(&srv, others))
	}
	fields = append(fields,
		a.input("Address", "IPv4, IPv6 or a name", &srv.Address, site.CheckAddress),
		a.input("Address in the private network", "empty if it has none", &srv.Private, orEmpty(ip)),
		a.input("Port of SSH", "", &port, validPort),
		a.input("Account of the first login", "root, or that of a cloud image", &srv.FirstLogin, site.CheckLoginName),
	)
	if err := a.form(fields...); err != nil {
		return srv, err
	}
	srv.Name, srv.Address = strings.TrimSpace(srv.Name), strings.TrimSpace(srv.Address)
	srv.Private, srv.FirstLogin = strings.TrimSpace(srv.Private), strings.TrimSpace(srv.FirstLogin)
	n, err := strconv.Atoi(strings.TrimSpace(port))
	if err != nil {
		return srv, fmt.Errorf("reading the port: %w", err)
	}
	srv.Port = n
	return srv, nil
}

// jump asks through which server the new one is reached. A server that is not
// an application server is offered the first one of those (guide 3.11).
func (a *asker) jump(srv *site.Server, others []site.Server) huh.Field {
	options := []huh.Option[string]{huh.NewOption("directly", "")}
	for _, o := range others {
		options = append(options, huh.NewOption("through "+o.Name, o.Name))
		if srv.Jump == "" && slices.Contains(o.Roles, server.Application) && !slices.Contains(srv.Roles, server.Application) {
			srv.Jump = o.Name
		}
	}
	return huh.NewSelect[string]().Title("How is it reached?").Options(options...).Value(&srv.Jump)
}

// freeName is the first of app-1, app-2, … that no server has.
func freeName(role server.Role, others []site.Server) string {
	stem := cmp.Or(map[server.Role]string{server.Application: "app", server.Database: "db"}[role], string(role))
	for i := 1; ; i++ {
		name := stem + "-" + strconv.Itoa(i)
		if !slices.ContainsFunc(others, func(o site.Server) bool { return o.Name == name }) {
			return name
		}
	}
}

func ip(text string) error {
	if _, err := netip.ParseAddr(text); err != nil {
		return errors.New("this is not an IP address")
	}
	return nil
}

func validPort(text string) error {
	if n, err := strconv.Atoi(text); err != nil || n < 1 || n > 65535 {
		return errors.New("a port is a number between 1 and 65535")
	}
	return nil
}
