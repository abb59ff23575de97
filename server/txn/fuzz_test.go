package txn_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/holdfast-security/holdfast/server/txn"
)

// A log is read without an error whatever a crash has left of it, and what is
// read, written again and read again is the same.
func FuzzParseLog(f *testing.F) {
	for _, seed := range []string{
		"",
		"{\"at\":\"2026-01-02T03:04:05Z\",\"what\":\"state\",\"state\":\"prepared\"}\n",
		"{\"at\":\"2026-01-02T03:04:05Z\",\"what\":\"begun\",\"step\":1,\"resource\":\"file /etc/motd\"}\n{\"what\":\"done\",\"st",
		"{\"what\":\"done\",\"step\":1,\"after\":{\"bytes\":\"/w==\"},\"touched\":{\"/etc/motd\":\"\"}}\n",
		"torn\n{\"what\":\"done\",\"step\":-1}\n\n\x00\xff\n{\"what\":\"foreign\",\"paths\":[\"/etc\"]}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		print := func(events []txn.Event) []byte {
			var b bytes.Buffer
			for _, e := range events {
				line, err := json.Marshal(e)
				if err != nil {
					t.Fatalf("an event that was read cannot be written: %v", err)
				}
				b.Write(append(line, '\n'))
			}
			return b.Bytes()
		}
		events := txn.ParseLog(data)
		once := print(events)
		again := txn.ParseLog(once)
		if len(again) != len(events) || !bytes.Equal(print(again), once) {
			t.Errorf("%q becomes %q", once, print(again))
		}
		for i, e := range events {
			if e.What == "" || i > 0 && e.Seq <= events[i-1].Seq {
				t.Errorf("event %d is %+v", i, e)
			}
		}
	})
}

// A plan that can be read comes back the same when it is written and read again.
func FuzzParsePlan(f *testing.F) {
	for _, seed := range []string{
		"",
		`{"format":1,"id":"20260102T030405Z-0000","kind":"changes","steps":[]}`,
		`{"format":1,"steps":[{"resource":{"kind":"file"},"change":{"resource":"file /a","before":{"bytes":"/w=="},"after":"x"},"stage":"change"}]}`,
		`{"format":2,"steps":"another shape"}`,
		`{"format":1,"steps":[{"stage":"other"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := txn.ParsePlan("plan.json", data)
		if err != nil {
			return
		}
		once, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("a plan that was read cannot be written: %v", err)
		}
		again, err := txn.ParsePlan("plan.json", once)
		if err != nil {
			t.Fatalf("%s cannot be read: %v", once, err)
		}
		if twice, err := json.Marshal(again); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%s becomes %s, %v", once, twice, err)
		}
	})
}
