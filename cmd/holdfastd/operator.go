package main

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/holdfast-security/holdfast/server/canary"
)

// maxAncestors bounds the walk up the process tree.
const maxAncestors = 32

// operator returns the address that the desk's session comes from, empty if it
// cannot be told.
func operator() string {
	from, _, _ := strings.Cut(connection(), " ")
	return from
}

// operatorPath returns both ends of the desk's session, as far as they can be
// told.
func operatorPath() canary.Path {
	var p canary.Path
	// client address, client port, server address, server port (ssh(1))
	if words := strings.Fields(connection()); len(words) == 4 {
		p.From, _ = netip.ParseAddr(words[0])
		p.To, _ = netip.ParseAddr(words[2])
	}
	return p
}

// connection returns SSH_CONNECTION of the desk's session, empty if there is
// none. sudo does not pass it on, so it is read from the process of the session
// itself.
func connection() string {
	// This process itself first: the shell that a login as root started has
	// become it.
	pid := os.Getpid()
	for range maxAncestors {
		if pid <= 1 {
			return ""
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			return ""
		}
		for entry := range strings.SplitSeq(string(env), "\x00") {
			if value, ok := strings.CutPrefix(entry, "SSH_CONNECTION="); ok {
				return value
			}
		}
		if pid = parent(pid); pid < 0 {
			return ""
		}
	}
	return ""
}

// parent returns the parent of a process, -1 if it cannot be told.
func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return -1
	}
	// The name stands in parentheses and may hold anything.
	_, rest, ok := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 {
		return -1
	}
	ppid, err := strconv.Atoi(fields[1])
	if err != nil {
		return -1
	}
	return ppid
}
