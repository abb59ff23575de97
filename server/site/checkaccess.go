package site

import (
	"slices"
	"strconv"
	"strings"
)

// losses checks who is to lose which servers.
func (c *checker) losses() {
	var known []string
	for _, a := range c.site.Admins {
		known = append(known, a.Name)
	}
	for _, a := range c.site.Automation {
		known = append(known, a.Name)
	}
	for i, l := range c.site.LosesAccess {
		c.oneOf(l.Name, known, "admin", "name", "loses_access", i, "name")
		c.serverNames(l.Servers, "loses_access", i, "servers")
		c.line(l.Reason, "loses_access", i, "reason")
	}
}

// exceptions checks which controls are switched off, where and for how long.
func (c *checker) exceptions() {
	type off struct{ control, server string }
	first := map[off]int{}
	for i, e := range c.site.Exceptions {
		c.line(e.Control, "exceptions", i, "control")
		if len(c.controls) > 0 {
			c.oneOf(e.Control, c.controls, "control", "control", "exceptions", i, "control")
		}
		c.serverNames(e.Servers, "exceptions", i, "servers")
		c.line(e.Reason, "exceptions", i, "reason")
		c.line(e.Owner, "exceptions", i, "owner")
		for j, name := range e.Servers {
			n, ok := c.sound("exceptions", i, "servers", j)
			if !ok {
				continue
			}
			if line, twice := first[off{e.Control, name}]; twice {
				c.add(n, "the exception of "+show(e.Control)+" on "+show(name)+" stands here a second time, first in line "+strconv.Itoa(line), "write it once")
				continue
			}
			first[off{e.Control, name}] = n.Line
		}
	}
}

// oneOf reports the value at path if it is none of the known things.
func (c *checker) oneOf(value string, known []string, thing, key string, path ...any) {
	n, ok := c.sound(path...)
	if !ok || slices.Contains(known, value) {
		return
	}
	instead := "write one of " + strings.Join(known, ", ")
	if near := nearest(value, known); near != "" {
		instead = "write " + near
		if key != "" {
			instead = "write " + key + ": " + near
		}
	}
	c.add(n, "there is no "+thing+" "+show(value), instead)
}

// serverNames checks a list of names of servers of the site.
func (c *checker) serverNames(names []string, path ...any) {
	c.notEmpty(len(names), "servers names no server", "servers: [app-1]", path...)
	var known []string
	for _, srv := range c.site.Servers {
		known = append(known, srv.Name)
	}
	for i, name := range names {
		at := append(slices.Clone(path), i)
		if n, ok := c.sound(at...); ok && slices.Contains(names[:i], name) {
			c.add(n, show(name)+" stands here a second time", "write it once")
			continue
		}
		c.oneOf(name, known, "server", "", at...)
	}
}

// line checks a text that people are shown: something, in one line.
func (c *checker) line(text string, path ...any) {
	n, ok := c.sound(path...)
	if !ok {
		return
	}
	key := path[len(path)-1].(string)
	switch {
	case strings.TrimSpace(text) == "":
		c.add(n, key+" says nothing", "write it in a few words")
	case clean(text) != text:
		c.add(n, key+" has more than one line or what cannot be printed", "write it in one line")
	}
}
