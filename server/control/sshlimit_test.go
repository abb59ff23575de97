package control

import "testing"

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		strict func(string) bool
		value  string
		want   bool
	}{
		{within(1, 60), "60", true}, {within(1, 60), "1m", true}, {within(1, 60), "30s", true},
		{within(1, 60), "0", false}, {within(1, 60), "1m1s", false}, {within(1, 60), "2m", false},
		{within(1, 60), "", false}, {within(1, 60), "x", false}, {within(1, 60), "-1", false},
		{within(1, 60), "99999999999999999999w", false}, {within(0, 10), "0", true},
		{fewStartups, "10:30:60", true}, {fewStartups, "5:50:20", true}, {fewStartups, "10", true},
		{fewStartups, "10:30:100", false}, {fewStartups, "100", false}, {fewStartups, "10:20:60", false}, {fewStartups, "", false},
		{loud, "VERBOSE", true}, {loud, "debug2", true}, {loud, "INFO", false}, {loud, "QUIET", false},
	} {
		if got := tt.strict(tt.value); got != tt.want {
			t.Errorf("%q is strict enough: %v, want %v", tt.value, got, tt.want)
		}
	}
}
