package archive_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/archive"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func record(at time.Time) server.AuditRecord {
	return server.AuditRecord{Site: "shop", Server: "app-1", At: at, Version: "v1", Results: []server.Result{{
		Control: "ssh-keys-only", Verdict: server.Fail,
		Findings: []server.Finding{{Verdict: server.Fail, What: "so", Evidence: "seen <b>\x1b[31m"}},
	}}}
}

func TestWhatIsPutIsGot(t *testing.T) {
	s, err := archive.At(t.TempDir(), "shop", "app-1.example", archive.Rule{})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := s.History(time.Time{}); err != nil || len(all) > 0 {
		t.Errorf("an empty shelf gives %v, %v", all, err)
	}
	for _, hours := range []int{0, 24, 48} {
		if err := s.Put(record(noon.Add(time.Duration(hours) * time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	one, err := s.Get(noon)
	if want := record(noon); err != nil || !reflect.DeepEqual(one, want) {
		t.Errorf("got %+v, %v", one, err)
	}
	got, err := s.History(noon)
	want := []server.AuditRecord{record(noon.Add(24 * time.Hour)), record(noon.Add(48 * time.Hour))}
	for i := range want {
		want[i].Results[0].Findings = nil
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if !s.Has(noon) || s.Has(noon.Add(time.Hour)) {
		t.Error("Has is wrong")
	}
	info, err := os.Stat(filepath.Join(s.Dir, "20261120T120000Z.json.gz"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// One audit that cannot be read does not hide the others.
func TestUnreadableAuditIsNamed(t *testing.T) {
	s := archive.Shelf{Dir: t.TempDir()}
	for _, days := range []int{0, 1, 2, 3} {
		if err := s.Put(record(noon.AddDate(0, 0, days))); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"20261121T120000Z.json.gz": "not packed", "20261123T120000Z.json.gz": "", "notes.txt": "x"} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.History(time.Time{})
	if len(all) != 2 || err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "20261121T120000Z") {
		t.Errorf("%d audits, %v", len(all), err)
	}
}

func TestRules(t *testing.T) {
	dates := func(s archive.Shelf) string {
		times, err := s.Times()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, at := range times {
			all = append(all, at.Format("02.15"))
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct {
		name string
		rule archive.Rule
		want string
	}{
		{"all", archive.Rule{}, "01.00 01.08 01.16 02.00 02.08 02.16 03.00 03.08 03.16 04.00 04.08 04.16"},
		{"two days", archive.Rule{Days: 2}, "02.16 03.00 03.08 03.16 04.00 04.08 04.16"},
		{"the last of each day but today", archive.Rule{Every: 1}, "01.16 02.16 03.16 04.00 04.08 04.16"},
		{"three", archive.Rule{Most: 3}, "04.00 04.08 04.16"},
		{"each of them", archive.Rule{Days: 3, Every: 1, Most: 5}, "02.16 03.16 04.00 04.08 04.16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := archive.Shelf{Dir: t.TempDir(), Rule: c.rule}
			for i := range 12 {
				if err := s.Put(record(time.Date(2026, 11, 1, i*8, 0, 0, 0, time.UTC))); err != nil {
					t.Fatal(err)
				}
			}
			if got := dates(s); got != c.want {
				t.Errorf("kept are %s\nwant     %s", got, c.want)
			}
		})
	}
}

func TestNamesAreNoPaths(t *testing.T) {
	for _, name := range []string{"", "..", ".", "a/b", `a\b`, ".hidden", "c:d"} {
		if s, err := archive.At("/x", name, "app-1", archive.Rule{}); err == nil {
			t.Errorf("site %q gives %s", name, s.Dir)
		}
		if s, err := archive.At("/x", "shop", name, archive.Rule{}); err == nil {
			t.Errorf("server %q gives %s", name, s.Dir)
		}
	}
}
