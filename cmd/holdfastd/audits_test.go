package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/archive"
	"github.com/holdfast-security/holdfast/server/protocol"
)

// A desk gets every audit once, however large they are, and messages stay below
// the limit.
func TestAuditsComeInMessages(t *testing.T) {
	s := archive.Shelf{Dir: t.TempDir()}
	begin := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	for i, size := range []int{100, 3 << 20, 2 << 20, 100, 9 << 20, 100} {
		err := s.Put(server.AuditRecord{At: begin.AddDate(0, 0, i), Results: []server.Result{{
			Control: "c", Verdict: server.Fail, Findings: []server.Finding{{Verdict: server.Fail, What: "w", Evidence: strings.Repeat("x", size)}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.Dir+"/20261104T030000Z.json.gz", []byte("lost"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	var after time.Time
	for messages := 1; ; messages++ {
		out, err := newAudits(s, after)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, r := range out.Audits {
			after = r.At
			got = append(got, r.At.Format("02"))
			size, err := sizeOf(r)
			if err != nil {
				t.Fatal(err)
			}
			total += size
			if r.At.Day() == 5 && !strings.Contains(r.Results[0].Findings[0].Evidence, "kept on the server") {
				t.Error("what is too long was sent")
			}
		}
		if total > protocol.MaxSize/2 {
			t.Errorf("a message has %d bytes", total)
		}
		if !out.More {
			if messages != 2 {
				t.Errorf("%d messages", messages)
			}
			break
		}
		if len(out.Audits) == 0 || messages > 5 {
			t.Fatal("it goes on for ever")
		}
	}
	if strings.Join(got, " ") != "01 02 03 05 06" {
		t.Errorf("got %s", got)
	}
}
