package sudoers_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// loosePolicy is what cvtsudoers says of a policy with a loose place.
var loosePolicy = regexp.MustCompile(`"(authenticate|use_pty)": false|"rootpw": true|"exempt_group": "|"timestamp_timeout": "(-1|60)"`)

// What this package takes for loose, sudo takes for loose; what it has
// tightened, sudo accepts and takes for tight.
func TestSudoAgrees(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			s := labtest.Server(t, suite)
			policy := func(t *testing.T, content string) string {
				t.Helper()
				const script = "cat >/run/policy; visudo -c -q -f /run/policy && cvtsudoers -f json /run/policy"
				out, err := s.Exec(t.Context(), strings.NewReader(content), "sh", "-c", script)
				if err != nil {
					t.Fatalf("%q: %v", content, err)
				}
				return string(out)
			}
			for _, tt := range looseCases() {
				t.Run(tt.name, func(t *testing.T) {
					if p := policy(t, tt.have); !loosePolicy.MatchString(p) {
						t.Errorf("%q is not loose to sudo:\n%s", tt.have, p)
					}
					if p := policy(t, tt.want); loosePolicy.MatchString(p) {
						t.Errorf("%q is loose to sudo:\n%s", tt.want, p)
					}
				})
			}
		})
	}
}
