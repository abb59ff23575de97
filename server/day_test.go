package server_test

import (
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

func TestDay(t *testing.T) {
	noon := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		day         server.Day
		now         time.Time
		valid, over bool
	}{
		{"2026-12-31", noon, true, false},
		{"2026-12-31", noon.Add(12*time.Hour - 1), true, false},
		{"2026-12-31", noon.Add(12 * time.Hour), true, true},
		{"2026-12-30", noon, true, true},
		{"2027-01-01", noon.In(time.FixedZone("", 14*60*60)), true, false},
		{"2026-02-30", noon, false, true},
		{"31.12.2026", noon, false, true},
		{"", noon, false, true},
	} {
		if valid, over := tt.day.Valid(), tt.day.Over(tt.now); valid != tt.valid || over != tt.over {
			t.Errorf("%q at %v: valid %v, over %v", tt.day, tt.now, valid, over)
		}
	}
}
