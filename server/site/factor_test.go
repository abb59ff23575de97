package site_test

import (
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

const deploy = "automation: [{name: deploy, key: keys/deploy.pub, from: [192.0.2.0/24], command: /usr/local/bin/deploy, until: 2027-06-30}]\n"

func factorCases() []problemCase {
	bad := func(name, text string, want []wantProblem) problemCase {
		return problemCase{name: name, whole: good + text, want: want}
	}
	byLoad := func(c problemCase) problemCase {
		c.byLoad = true
		return c
	}
	return []problemCase{
		bad("no such codes", "second_factor: {codes: sms}\n", one(19, `there are no codes "sms"`, "codes: shared")),
		bad("no codes named", "second_factor: {fido2: both}\n", one(19, "codes is missing", "codes: shared")),
		bad("no day", "second_factor: {codes: shared, enroll_until: soon}\n", one(19, "is not a date", "2027-01-31")),
		byLoad(bad("no such day", "second_factor: {codes: shared, enroll_until: 2027-02-30}\n", one(19, "is not a date", "2027-01-31"))),
		bad("no such use of FIDO2", "second_factor: {codes: shared, fido2: sure}\n", one(19, `cannot count for "sure"`, "fido2: both")),
		bad("a program that never ends", "automation: [{name: deploy, key: keys/deploy.pub, from: [192.0.2.0/24], command: /usr/local/bin/deploy}]\n", one(19, "until is missing", "2027-06-30")),
		byLoad(bad("a program from everywhere", "automation: [{name: deploy, key: keys/deploy.pub, from: [0.0.0.0/0], command: /usr/local/bin/deploy, until: 2027-06-30}]\n", one(19, "the whole internet", "192.0.2.0/24"))),
		bad("a program from nowhere", "automation: [{name: deploy, key: keys/deploy.pub, from: [], command: /usr/local/bin/deploy, until: 2027-06-30}]\n", one(19, "from names no network", "192.0.2.0/24")),
		byLoad(bad("a person as a program", "automation: [{name: alice, key: keys/deploy.pub, from: [192.0.2.0/24], command: /usr/local/bin/deploy, until: 2027-06-30}]\n", one(19, "is the account of a person", "name: deploy"))),
		byLoad(bad("a person's key for a program", "automation: [{name: deploy, key: keys/alice.pub, from: [192.0.2.0/24], command: /usr/local/bin/deploy, until: 2027-06-30}]\n", one(19, "is already that of", "once"))),
		byLoad(bad("a command with a shell in it", `automation: [{name: deploy, key: keys/deploy.pub, from: [192.0.2.0/24], command: "/bin/sh -c 'a; b'", until: 2027-06-30}]`+"\n", one(19, "no path with plain arguments", "absolute path"))),
		byLoad(bad("a program on no server", "automation: [{name: deploy, key: keys/deploy.pub, from: [192.0.2.0/24], command: /usr/local/bin/deploy, until: 2027-06-30, servers: [web-9]}]\n", one(19, `there is no server "web-9"`, "a server of the site"))),
	}
}

func TestSecondFactor(t *testing.T) {
	const fido2 = "    keys: [sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIFy0iAlsvRa4j0wGLbkDFQKcTBxtGzG4eI3hKmuyCpNRAAAABHNzaDo= token]\n"
	past, future := time.Now().AddDate(0, 0, -2).Format(time.DateOnly), time.Now().AddDate(0, 0, 2).Format(time.DateOnly)
	for name, tt := range map[string]struct {
		text, keys string
		want       server.Factor
	}{
		"the file says nothing": {},
		"no codes":              {text: "second_factor: {codes: none}\n"},
		"shared":                {text: "second_factor: {codes: shared}\n", want: server.CodeOnceEnrolled},
		"time to enroll":        {text: "second_factor: {codes: shared, enroll_until: " + future + "}\n", want: server.CodeOnceEnrolled},
		"no time left":          {text: "second_factor: {codes: per-server, enroll_until: " + past + "}\n", want: server.CodeAlways},
		"a key of both kinds":   {text: "second_factor: {codes: shared, fido2: both}\n", want: server.CodeOnceEnrolled},
		"a FIDO2 key":           {text: "second_factor: {codes: shared, fido2: both}\n", keys: fido2, want: server.InKey},
		"a FIDO2 key as a key":  {text: "second_factor: {codes: shared}\n", keys: fido2, want: server.CodeOnceEnrolled},
		"FIDO2 alone":           {text: "second_factor: {codes: none, fido2: both}\n", keys: fido2, want: server.InKey},
	} {
		t.Run(name, func(t *testing.T) {
			text := "site: shop\nadmins:\n  - name: dora\n    keys: [keys/carol.pub]\nservers: [{name: app-1, role: application, address: 192.0.2.10}]\n" + tt.text
			if tt.keys != "" {
				text = "site: shop\nadmins:\n  - name: dora\n" + tt.keys + "servers: [{name: app-1, role: application, address: 192.0.2.10}]\n" + tt.text
			}
			s, err := site.Parse("testdata/holdfast.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			c, err := s.Config("app-1")
			if err != nil || c.Admins[0].Factor != tt.want {
				t.Errorf("%q, want %q (%v)", c.Admins[0].Factor, tt.want, err)
			}
		})
	}
}

func TestAutomation(t *testing.T) {
	s, err := parse(good + deploy)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Config("app-1")
	if err != nil || len(c.Automation) != 1 || c.Automation[0].Until != "2027-06-30" || c.Automation[0].Key[:11] != "ssh-ed25519" {
		t.Errorf("%+v, %v", c.Automation, err)
	}
	if s.FactorSecret("alice", "app-1") != "factor/alice" {
		t.Error(s.FactorSecret("alice", "app-1"))
	}
	s.SecondFactor = &site.SecondFactor{Codes: server.CodesPerServer}
	if s.FactorSecret("alice", "app-1") != "factor/alice@app-1" {
		t.Error(s.FactorSecret("alice", "app-1"))
	}
}

// A program may lose a server on purpose, as an admin may.
func TestProgramMayLose(t *testing.T) {
	program := "automation: [{name: deploy, key: keys/deploy.pub, from: [192.0.2.0/24], command: /usr/local/bin/deploy, until: 2027-06-30}]\n"
	loses := "loses_access: [{name: deploy, servers: [db-1], reason: moved}]\n"
	if _, err := parse(good + program + loses); err != nil {
		t.Error(err)
	}
	if _, err := parse(good + loses); err == nil {
		t.Error("an account that the site does not name may lose a server")
	}
}
