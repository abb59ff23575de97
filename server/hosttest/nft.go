package hosttest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// AddTable adds a table of nftables: its family and name, and how nft lists it.
func (h *Host) AddTable(name, rules string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tables[name] = rules
}

// Table returns a table of nftables as nft lists it, empty if there is none.
func (h *Host) Table(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tables[name]
}

// nft imitates nft 1.0.6: list tables FAMILY, -s list table FAMILY NAME, and -f -
// with tables that are added, deleted or written out. Like nft it does all or
// nothing.
func nft(_ context.Context, h *Host, stdin string, argv []string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	args := argv[1:]
	if len(args) > 0 && args[0] == "-s" {
		args = args[1:]
	}
	switch {
	case len(args) == 3 && args[0] == "list" && args[1] == "tables":
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(h.tables)) {
			if strings.HasPrefix(name, args[2]+" ") {
				fmt.Fprintf(&b, "table %s\n", name)
			}
		}
		return b.String(), nil
	case len(args) == 4 && args[0] == "list" && args[1] == "table":
		rules, found := h.tables[args[2]+" "+args[3]]
		if !found {
			return "", Exit{Status: 1, Output: "Error: No such file or directory\n"}
		}
		return rules, nil
	case len(args) == 2 && args[0] == "-f" && args[1] == "-":
		if h.world {
			return "", fmt.Errorf("must not be run in a World: %s", strings.Join(argv, " "))
		}
		tables, err := carryOut(maps.Clone(h.tables), stdin)
		if err != nil {
			return "", err
		}
		h.tables = tables
		return "", nil
	}
	h.t.Errorf("the imitated nft does not know %q", argv)
	return "", Exit{Status: 1}
}

func carryOut(tables map[string]string, script string) (map[string]string, error) {
	lines := strings.SplitAfter(script, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		name, isDelete := strings.CutPrefix(line, "delete table ")
		added, isTable := strings.CutPrefix(line, "table ")
		switch {
		case line == "":
		case isDelete:
			if _, found := tables[name]; !found {
				return nil, Exit{Status: 1, Output: "Error: No such file or directory\n"}
			}
			delete(tables, name)
		case isTable && strings.HasSuffix(added, "{"):
			end := i + slices.IndexFunc(lines[i:], func(l string) bool { return strings.TrimRight(l, "\n") == "}" })
			if end < i {
				return nil, Exit{Status: 1, Output: "Error: syntax error, unexpected end of file\n"}
			}
			tables[strings.TrimSuffix(added, " {")] = strings.Join(lines[i:end+1], "")
			i = end
		case isTable:
			if _, found := tables[added]; !found {
				tables[added] = "table " + added + " {\n}\n"
			}
		default:
			return nil, Exit{Status: 1, Output: "Error: syntax error, unexpected " + line + "\n"}
		}
	}
	return tables, nil
}
