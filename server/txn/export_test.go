package txn

import "time"

// Hooks for tests: the writes of the journal, and the time and the disks of the
// machine.

func (j *Journal) SetFault(f func(path string, write func() error) error) { j.disk.fault = f }

func (j *Journal) SetSync(f func() error) { j.sync = f }

func (j *Journal) SetTime(uptime func() time.Duration, boot string) {
	j.uptime = uptime
	j.bootID = func() (string, error) { return boot, nil }
}

// LoginPath, ParsePlan and HoldFile are tested from outside.
var (
	LoginPath = loginPath
	ParsePlan = parsePlan
	HoldFile  = holdFile
)
