package seclog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/seclog"
	"github.com/holdfast-security/holdfast/app/seclog/seclogtest"
	"github.com/holdfast-security/holdfast/app/store/memory"
)

func TestPromises(t *testing.T) {
	seclogtest.Run(t, func(*testing.T) *memory.Store { return memory.New() })
}

// written is a store that somebody has written to.
type written struct {
	seclog.Store
	entries []seclog.Entry
}

func (w written) Entries(_ context.Context, after int64, limit int) ([]seclog.Entry, error) {
	i, _ := slices.BinarySearchFunc(w.entries, after+1, func(e seclog.Entry, n int64) int { return int(e.Seq - n) })
	if after == 0 {
		i = 0
	}
	return slices.Clone(w.entries[i:min(i+limit, len(w.entries))]), nil
}

func record(t *testing.T, keys *keyring.Ring, what string, n int) ([]seclog.Entry, []seclog.Head) {
	t.Helper()
	var heads []seclog.Head
	log := &seclog.Log{Store: memory.New(), Keys: keys, OnHead: func(h seclog.Head) { heads = append(heads, h) }}
	for i := range n {
		if err := log.Record(t.Context(), seclog.Event{What: fmt.Sprint(what, i), Outcome: seclog.Done, Who: "anna"}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := log.Store.Entries(t.Context(), 0, n)
	if err != nil {
		t.Fatal(err)
	}
	return all, heads
}

// Every single entry deleted, changed, doubled or exchanged with the next is found,
// without any kept head.
func TestTampering(t *testing.T) {
	const n = 12
	keys := seclogtest.Ring(t)
	good, heads := record(t, keys, "e", n)
	verify := func(all []seclog.Entry, kept ...seclog.Head) error {
		_, err := seclog.Verify(t.Context(), written{entries: all}, keys, kept...)
		return err
	}
	if err := verify(good, heads...); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		tricks := map[string]func(all []seclog.Entry) []seclog.Entry{
			"line changed": func(a []seclog.Entry) []seclog.Entry {
				a[i].Line = strings.Replace(a[i].Line, "done", "fail", 1)
				return a
			},
			"hash changed":  func(a []seclog.Entry) []seclog.Entry { a[i].Hash[0] ^= 1; return a },
			"MAC changed":   func(a []seclog.Entry) []seclog.Entry { a[i].MAC[31] ^= 1; return a },
			"doubled":       func(a []seclog.Entry) []seclog.Entry { return slices.Insert(a, i, a[i]) },
			"line of other": func(a []seclog.Entry) []seclog.Entry { a[i].Line = a[(i+1)%n].Line; return a },
		}
		if i < n-1 {
			tricks["deleted"] = func(a []seclog.Entry) []seclog.Entry { return slices.Delete(a, i, i+1) }
			tricks["deleted and renumbered"] = func(a []seclog.Entry) []seclog.Entry {
				a = slices.Delete(a, i, i+1)
				for j := i; j < len(a); j++ {
					a[j].Seq--
				}
				return a
			}
			tricks["exchanged"] = func(a []seclog.Entry) []seclog.Entry {
				a[i], a[i+1] = a[i+1], a[i]
				a[i].Seq, a[i+1].Seq = a[i+1].Seq, a[i].Seq
				return a
			}
		}
		for what, trick := range tricks {
			err := verify(trick(slices.Clone(good)))
			var broken *seclog.BrokenError
			if !errors.As(err, &broken) || !errors.Is(err, seclog.ErrBroken) || broken.Seq < int64(i) || broken.Seq > int64(i+2) {
				t.Errorf("entry %d %s: %v", i+1, what, err)
			}
		}
	}
	// The end cut off shows against a kept head alone.
	if err := verify(good[:n-1]); err != nil {
		t.Errorf("without a kept head: %v", err)
	}
	if err := verify(good[:n-1], heads[n-1]); !errors.Is(err, seclog.ErrBroken) {
		t.Errorf("the end is cut off: %v", err)
	}
	if err := verify(nil, heads[0]); !errors.Is(err, seclog.ErrBroken) {
		t.Errorf("everything is gone: %v", err)
	}
}

// A whole chain written anew: without the ring it is found by its MACs, with the
// ring by any head that was kept.
func TestRewritten(t *testing.T) {
	keys := seclogtest.Ring(t)
	_, heads := record(t, keys, "true", 8)
	without, _ := record(t, seclogtest.Ring(t), "forged", 8)
	with, _ := record(t, keys, "forged", 8)
	_, err := seclog.Verify(t.Context(), written{entries: without}, keys)
	if !errors.Is(err, seclog.ErrBroken) {
		t.Errorf("written without the ring: %v", err)
	}
	if _, err := seclog.Verify(t.Context(), written{entries: with}, keys); err != nil {
		t.Errorf("the forged chain is not even a chain: %v", err)
	}
	for _, h := range heads {
		var broken *seclog.BrokenError
		if _, err := seclog.Verify(t.Context(), written{entries: with}, keys, h); !errors.As(err, &broken) || broken.Seq != h.Seq {
			t.Errorf("written with the ring, head %d was kept: %v", h.Seq, err)
		}
	}
	other := heads[3]
	other.Hash[0] ^= 1
	if _, err := seclog.Verify(t.Context(), written{entries: with}, keys, heads[3], other); !errors.Is(err, seclog.ErrBroken) {
		t.Errorf("contradicting heads: %v", err)
	}
}

// Entries from before a rotation stay good when their secret has been dropped, as
// long as something later vouches for them.
func TestRotation(t *testing.T) {
	old, next := []byte(strings.Repeat("o", 32)), []byte(strings.Repeat("n", 32))
	keys, err := keyring.New(old)
	if err != nil {
		t.Fatal(err)
	}
	var heads []seclog.Head
	s := memory.New()
	log := &seclog.Log{Store: s, Keys: keys, OnHead: func(h seclog.Head) { heads = append(heads, h) }}
	event := seclog.Event{What: "x", Outcome: seclog.Done, Who: "anna"}
	add := func() {
		t.Helper()
		if err := log.Record(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
	add()
	onlyNew, err := keyring.New(next)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seclog.Verify(t.Context(), s, onlyNew); !errors.Is(err, seclog.ErrBroken) {
		t.Errorf("nobody vouches for it: %v", err)
	}
	if _, err := seclog.Verify(t.Context(), s, onlyNew, heads[0]); err != nil {
		t.Errorf("a kept head vouches for it: %v", err)
	}
	if err := keys.Rotate(next); err != nil {
		t.Fatal(err)
	}
	add()
	if _, err := seclog.Verify(t.Context(), s, onlyNew); err != nil {
		t.Errorf("a later entry vouches for it: %v", err)
	}
	names := log.Pseudonyms("anna")
	all, err := s.Entries(t.Context(), 0, 9)
	if err != nil || len(names) != 2 || names[0] == names[1] || !strings.Contains(all[0].Line, names[1]) || !strings.Contains(all[1].Line, names[0]) {
		t.Errorf("pseudonyms %q in %v, %v", names, all, err)
	}
	if strings.Contains(all[0].Line+all[1].Line, "anna") {
		t.Error("the log names a person")
	}
}

// Whatever a name holds, an event is one line in the chain and in both handlers of
// slog, and what follows the name is not taken for a field.
func TestHostileNames(t *testing.T) {
	for _, name := range seclogtest.Hostile {
		var text, js bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&text, nil), slog.NewJSONHandler(&js, nil)} {
			s := memory.New()
			log := &seclog.Log{Store: s, Keys: seclogtest.Ring(t), Logger: slog.New(h)}
			e := seclog.Event{
				What: name, Outcome: seclog.Outcome(name), Who: name, Whom: name,
				Addr: netip.MustParseAddr("fe80::1").WithZone(name), Detail: map[string]string{name: name},
			}
			if err := log.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			all, err := s.Entries(t.Context(), 0, 2)
			if err != nil || len(all) != 1 {
				t.Fatal(err)
			}
			fields := map[string]any{}
			if err := json.Unmarshal([]byte(all[0].Line), &fields); err != nil || len(fields) != 8 {
				t.Errorf("%q became %q, %v", name, all[0].Line, err)
			}
			for _, r := range all[0].Line {
				if r < ' ' || r == '\u2028' || r == '\u202e' || r == '\ufffd' || r == 0x7f {
					t.Errorf("%q is in the line: %q", r, all[0].Line)
				}
			}
			if len(all[0].Line) > 16*4*seclog.MaxText {
				t.Errorf("a line of %d bytes", len(all[0].Line))
			}
		}
		for what, out := range map[string]string{"text": text.String(), "JSON": js.String()} {
			if strings.Count(out, "\n") != 1 || strings.ContainsAny(strings.TrimSuffix(out, "\n"), "\r\x1b\x00\u2028\u202e") {
				t.Errorf("%s: %q became %q", what, name, out)
			}
		}
	}
}

type down struct{ seclog.Store }

var errDown = errors.New("the database is down")

func (down) AppendEntry(context.Context, func(int64, [32]byte) (seclog.Entry, error)) error {
	return errDown
}

// What cannot be stored is an error, and is in the program's log all the same.
func TestStoreFails(t *testing.T) {
	var out bytes.Buffer
	log := &seclog.Log{
		Store: down{}, Keys: seclogtest.Ring(t), Logger: slog.New(slog.NewTextHandler(&out, nil)),
		OnHead: func(seclog.Head) { t.Error("a head of what was not stored") },
	}
	err := log.Record(t.Context(), seclog.Event{What: "login", Outcome: seclog.Done})
	if !errors.Is(err, errDown) || !strings.Contains(out.String(), "level=ERROR") || !strings.Contains(out.String(), "what=login") {
		t.Errorf("%v, %q", err, out.String())
	}
	if log.Stats() != (seclog.Stats{Failed: 1}) {
		t.Errorf("%+v", log.Stats())
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add(seclog.Head{Seq: 1, KeyID: "abcdefgh"}.String())
	f.Add("seclog1:1::x:")
	f.Add("seclog1:01:" + strings.Repeat("0", 64) + ":k:" + strings.Repeat("F", 64))
	f.Fuzz(func(t *testing.T, text string) {
		h, err := seclog.ParseHead(text)
		if err != nil {
			if !errors.Is(err, seclog.ErrHead) {
				t.Error(err)
			}
			return
		}
		if h.String() != text {
			t.Errorf("%q is printed as %q", text, h)
		}
	})
}

func Example() {
	ctx := context.Background()
	ring, err := keyring.Parse(keyring.Generate())
	if err != nil {
		fmt.Println(err)
		return
	}
	var kept string // elsewhere
	log := &seclog.Log{Store: memory.New(), Keys: ring, OnHead: func(h seclog.Head) { kept = h.String() }}
	for _, outcome := range []seclog.Outcome{seclog.Refused, seclog.Done} {
		if err := log.Record(ctx, seclog.Event{What: "login", Outcome: outcome, Who: "account 1"}); err != nil {
			fmt.Println(err)
		}
	}
	head, err := seclog.ParseHead(kept)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := seclog.Verify(ctx, log.Store, ring, head)
	fmt.Printf("%+v %v\n", report, err)
	// Output: {Entries:2 First:1 Last:2 Kept:2} <nil>
}
