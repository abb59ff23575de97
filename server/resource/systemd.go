package resource

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/holdfast-security/holdfast/server"
)

// unitName is a full name of a unit, systemd.unit(5), without a template's
// empty instance.
var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|target|path|mount|slice)$`)

// showUnit asks systemd for properties of a unit. Times are in UTC, because a
// time zone's abbreviation tells little.
func showUnit(ctx context.Context, r server.Reader, unit string, properties ...string) (map[string]string, error) {
	if !unitName.MatchString(unit) {
		return nil, fmt.Errorf("%q is no name for a unit", unit)
	}
	out, err := r.Output(ctx, "env", "TZ=UTC", "systemctl", "show", "--timestamp=us+utc",
		"--property="+strings.Join(properties, ","), unit)
	if err != nil {
		return nil, err
	}
	all, err := parseShow(out)
	if err != nil {
		return nil, err
	}
	for _, p := range properties {
		if _, known := all[p]; !known && p != "ExecReload" {
			return nil, fmt.Errorf("systemd does not tell %s of %s", p, unit)
		}
	}
	return all, nil
}

// parseShow reads NAME=VALUE lines. A name that comes more than once, as
// ExecReload does, has all its values, one a line.
func parseShow(out string) (map[string]string, error) {
	all := map[string]string{}
	for line := range strings.SplitSeq(out, "\n") {
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("systemctl show printed %q", line)
		}
		if before, known := all[name]; known {
			value = before + "\n" + value
		}
		all[name] = value
	}
	return all, nil
}

// notFound is systemd's word for a unit that does not exist.
const notFound = "not-found"
