package ask

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"charm.land/huh/v2"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/site"
)

// admin asks for the first admin and their keys.
func (a *asker) admin(to *site.Answers, keys Keys) error {
	if len(to.Admins) == 0 {
		to.Admins = []site.Admin{{}}
	}
	first := &to.Admins[0]
	first.Name = cmp.Or(first.Name, login(), "alice")
	about := "small letters, digits, - and _"
	if err := a.form(a.input("Name of your account on the servers", about, &first.Name, site.CheckAccountName)); err != nil {
		return err
	}
	first.Name = strings.TrimSpace(first.Name)
	for len(first.Keys) == 0 {
		lines, err := a.keys(keys, first.Name)
		if err != nil {
			return err
		}
		first.Keys = lines
	}
	return nil
}

// What stands in the list of keys beside the keys that were found, which are
// their fingerprints.
const (
	makeOne  = "make"
	enterOne = "enter"
)

// keys asks which keys the admin logs in with; none means that the person did
// not like the choice.
func (a *asker) keys(keys Keys, admin string) ([]string, error) {
	usable, options, err := a.options(keys)
	if err != nil {
		return nil, err
	}
	var chosen []string
	for len(chosen) == 0 {
		// A rule in the field itself would ask for ever when the input ends.
		field := huh.NewMultiSelect[string]().Title("Keys that you log in with (one or more)").Options(options...).Value(&chosen)
		if err := a.form(field); err != nil {
			return nil, err
		}
	}
	var lines []string
	for _, k := range usable {
		if !slices.Contains(chosen, k.Fingerprint) {
			continue
		}
		use := true
		if k.Protection == site.ByNothing {
			use = false
			title := fmt.Sprintf("The key %s has no passphrase: who gets the file gets into your servers. Use it all the same?", k.Path)
			if err := a.form(huh.NewConfirm().Title(title).Value(&use)); err != nil {
				return nil, err
			}
		}
		if use {
			lines = append(lines, k.Line)
		}
	}
	if slices.Contains(chosen, makeOne) {
		line, err := a.newKey(keys.Dir, admin)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	if slices.Contains(chosen, enterOne) {
		text := ""
		if err := a.form(a.input("Public key", "the line of a .pub file", &text, usableKey)); err != nil {
			return nil, err
		}
		lines = append(lines, strings.TrimSpace(text))
	}
	slices.Sort(lines)
	return slices.Compact(lines), nil
}

// usableKey refuses what is no public key and what must not be installed anew.
func usableKey(text string) error {
	k, err := site.ParseKey(text)
	if err != nil {
		return err
	}
	if advice := site.KeyAdvice(k); advice.Refuse {
		return errors.New(advice.Text)
	}
	return nil
}

// options are the keys that can be used and the list to choose from.
func (a *asker) options(keys Keys) (usable []site.FoundKey, options []huh.Option[string], err error) {
	for _, k := range keys.Found {
		if advice := site.KeyAdvice(k.Key); advice.Refuse {
			if err := a.show("Not offered: " + advice.Text + "."); err != nil {
				return nil, nil, err
			}
			continue
		}
		usable = append(usable, k)
		options = append(options, huh.NewOption(describe(k), k.Fingerprint).Selected(len(usable) == 1 && k.Protection != site.ByNothing))
	}
	if keys.Dir != "" {
		options = append(options, huh.NewOption("make a new key (ed25519, with a passphrase)", makeOne))
	}
	return usable, append(options, huh.NewOption("enter a public key", enterOne)), nil
}

// describe names a key in a line: type, comment, where it is, how it is kept.
func describe(k site.FoundKey) string {
	parts := strings.SplitN(k.Line, " ", 3)
	name := k.Type
	if len(parts) == 3 {
		name += " " + parts[2]
	}
	where := "in the agent"
	if k.Path != "" {
		where = k.Path
		if k.InAgent {
			where += ", in the agent"
		}
	}
	kept := map[site.Protection]string{
		site.ByPassphrase: "has a passphrase", site.ByHardware: "in a security token", site.ByNothing: "HAS NO PASSPHRASE",
	}[k.Protection]
	if kept != "" {
		where += ", " + kept
	}
	return name + " (" + where + ")"
}

// newKey makes a key and returns its line.
func (a *asker) newKey(dir, admin string) (string, error) {
	path := filepath.Join(dir, "id_ed25519")
	if free(path) != nil {
		path = filepath.Join(dir, "id_ed25519_holdfast")
	}
	comment := admin
	if host, err := os.Hostname(); err == nil {
		comment += "@" + host
	}
	if err := a.form(a.input("File of the new key", "", &path, free)); err != nil {
		return "", err
	}
	if a.plain != nil && !hasTerminal(a.in) {
		return "", errors.New("a passphrase can only be asked in a terminal")
	}
	var first, second string
	err := a.form(
		huh.NewInput().Title(fmt.Sprintf("Passphrase of the new key (%d or more characters):", site.MinPassphrase)).
			EchoMode(huh.EchoModePassword).Value(&first).
			Validate(func(s string) error { return site.CheckPassphrase(server.NewSecret(s)) }),
		huh.NewInput().Title("The passphrase again:").EchoMode(huh.EchoModePassword).Value(&second).
			Validate(func(s string) error {
				if s != first {
					return errors.New("the two are not the same")
				}
				return nil
			}),
	)
	if err != nil {
		return "", err
	}
	k, err := site.MakeKey(strings.TrimSpace(path), comment, server.NewSecret(first))
	if err != nil {
		return "", err
	}
	return k.Line, a.show("Made the key "+path+".", "Its fingerprint is "+k.Fingerprint+".")
}

func hasTerminal(in any) bool {
	_, ok := in.(terminalReader)
	return ok
}

// free refuses paths that something is at.
func free(path string) error {
	for _, p := range []string{path, path + ".pub"} {
		if _, err := os.Lstat(p); err == nil {
			return fmt.Errorf("there is a file %s already", p)
		}
	}
	return nil
}
