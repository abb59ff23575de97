package resource

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// A Table is one table of nftables as the kernel has it, with all its sets,
// chains and rules. Other tables are no concern of it.
//
// Its states are what nft lists, without counters and without the elements of
// sets that fill themselves or run out. A state replaces another in one
// transaction: no packet meets a half of one. It counts as a
// [server.Starter] because it is a thing of the kernel, which a [server.World]
// that shares the machine's network cannot have to itself.
type Table struct {
	// Family is a family of nftables, such as "inet".
	Family string `json:"family"`
	// Table is the table's name.
	Table string `json:"table"`
	// Rules are the table as "nft -s list table" prints it; empty means that
	// there is to be none.
	Rules string `json:"rules,omitempty"`
}

// Name returns "nftables table FAMILY NAME".
func (t Table) Name() string { return "nftables table " + t.Family + " " + t.Table }

// Want returns Rules.
func (t Table) Want() server.State { return server.State(t.Rules) }

// Start marks a Table as a [server.Starter].
func (t Table) Start() {}

var tableWord = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// Get returns the table as the kernel has it, empty if there is none.
func (t Table) Get(ctx context.Context, r server.Reader) (server.State, error) {
	if !tableWord.MatchString(t.Family) || !tableWord.MatchString(t.Table) {
		return "", fmt.Errorf("%q %q is no name for a table", t.Family, t.Table)
	}
	out, err := r.Output(ctx, "nft", "list", "tables", t.Family)
	if err != nil {
		return "", err
	}
	if !slices.Contains(strings.Split(out, "\n"), "table "+t.Family+" "+t.Table) {
		return "", nil
	}
	out, err = r.Output(ctx, "nft", "-s", "list", "table", t.Family, t.Table)
	if err != nil {
		return "", err
	}
	return server.State(NormalTable(out)), nil
}

// Set replaces the table, or deletes it if s is empty.
func (t Table) Set(ctx context.Context, h server.Host, s server.State) error {
	now, err := t.Get(ctx, h)
	if err != nil || now == s {
		return err
	}
	return h.Run(ctx, TableScript(t.Family, t.Table, string(s)), "nft", "-f", "-")
}

// TableScript returns what nft -f carries out, in one transaction, to replace a
// table by rules, which are as "nft list table" prints them; without rules the
// table is deleted.
func TableScript(family, table, rules string) string {
	name := "table " + family + " " + table
	// Deleting what is not there is an error, adding what is there is none.
	return name + "\ndelete " + name + "\n" + rules
}

// oldFlags is how nft up to 1.0.8 prints a comparison of some TCP flags.
var oldFlags = regexp.MustCompile(`tcp flags (!= )?([a-z,]+) / ([a-z,]+)`)

// fillsItself are the flags of a set whose elements are not configuration.
var fillsItself = regexp.MustCompile(`^\s*flags .*\b(dynamic|timeout)\b`)

// NormalTable returns what nft -s printed of a table, as every release of nft
// would: the comparison of TCP flags spelled out, and without the elements of
// sets that fill themselves.
func NormalTable(listed string) string {
	var b strings.Builder
	volatile, skipping := false, false
	for line := range strings.Lines(listed) {
		words := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(words, "set "), strings.HasPrefix(words, "map "):
			volatile = false
		case fillsItself.MatchString(words):
			volatile = true
		case volatile && strings.HasPrefix(words, "elements = {"):
			skipping = true
		}
		if skipping {
			skipping = !strings.HasSuffix(words, "}")
			continue
		}
		b.WriteString(oldFlags.ReplaceAllStringFunc(line, func(s string) string {
			m := oldFlags.FindStringSubmatch(s)
			op, flags := "==", func(list string) string { return strings.ReplaceAll(list, ",", " | ") }
			if m[1] != "" {
				op = "!="
			}
			return "tcp flags & (" + flags(m[3]) + ") " + op + " " + flags(m[2])
		}))
	}
	return b.String()
}
