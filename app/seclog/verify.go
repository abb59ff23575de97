package seclog

import (
	"cmp"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-security/holdfast/app/keyring"
)

// ErrBroken says that the chain is not what was recorded.
var ErrBroken = errors.New("security log is broken")

// A BrokenError says where a chain breaks. It wraps [ErrBroken].
type BrokenError struct {
	Seq  int64 // of the first entry that is not as it was
	What string
}

// Error is of error.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("entry %d: %s: %v", e.Seq, e.What, ErrBroken)
}

// Unwrap returns [ErrBroken].
func (e *BrokenError) Unwrap() error { return ErrBroken }

// A Report says what was verified.
type Report struct {
	Entries     int64 // how many
	First, Last int64 // their numbers; 0 if there are none
	// Kept is the number of the last kept head that the chain agrees with; what
	// comes after it is vouched for by the ring alone.
	Kept int64
}

// batch is how many entries are read at a time.
const batch = 512

// Verify reads the whole chain and compares it with the ring and with heads that
// were kept elsewhere. It fails with a [BrokenError] at the first entry that was
// deleted, changed or put elsewhere. A kept head is trusted for where it was kept:
// its own MAC is not asked for, so it is good when the ring has lost its key.
// Entries up to the oldest kept head may have been dropped, but not the last entry
// of all: a log without entries is broken when a head was kept. A MAC by a key that
// the ring does not have is passed over if a later entry or a kept head vouches
// for it by the chain.
//
// Entries that are recorded while it reads are verified too.
func Verify(ctx context.Context, s Store, ring *keyring.Ring, kept ...Head) (Report, error) {
	v := verifier{ring: ring, kept: slices.Clone(kept)}
	slices.SortFunc(v.kept, func(a, b Head) int { return cmp.Compare(a.Seq, b.Seq) })
	for i := 1; i < len(v.kept); i++ {
		if v.kept[i].Seq == v.kept[i-1].Seq && v.kept[i].Hash != v.kept[i-1].Hash {
			return v.report, &BrokenError{v.kept[i].Seq, "two kept heads contradict each other"}
		}
	}
	for {
		entries, err := s.Entries(ctx, v.report.Last, batch)
		if err != nil {
			return v.report, fmt.Errorf("reading the security log: %w", err)
		}
		for _, e := range entries {
			if err := v.entry(e); err != nil {
				return v.report, err
			}
		}
		if len(entries) < batch {
			return v.report, v.end()
		}
	}
}

type verifier struct {
	ring    *keyring.Ring
	kept    []Head // those that are still to come
	report  Report
	hash    [32]byte // of the last entry
	vouched int64    // the last entry that a key of the ring or a kept head vouches for
}

func (v *verifier) entry(e Entry) error {
	r := &v.report
	if r.Entries == 0 {
		if err := v.begin(e.Seq); err != nil {
			return err
		}
	}
	if e.Seq != r.Last+1 {
		return &BrokenError{r.Last + 1, "it is missing"}
	}
	if chain(v.hash, e.Seq, e.Line) != e.Hash {
		return &BrokenError{e.Seq, "it or the one before it was changed"}
	}
	if key, ok := v.ring.Find(headPurpose, e.KeyID); ok {
		want := mac(key, e.Seq, e.Hash)
		if !hmac.Equal(want[:], e.MAC[:]) {
			return &BrokenError{e.Seq, "its MAC is not of the ring"}
		}
		v.vouched = e.Seq
	}
	r.Entries, r.Last, v.hash = r.Entries+1, e.Seq, e.Hash
	if r.First == 0 {
		r.First = e.Seq
	}
	return v.compare()
}

// begin finds out where the chain may begin: at its first entry, or after a head
// that was kept.
func (v *verifier) begin(first int64) error {
	if first == 1 {
		return nil
	}
	// Only the oldest: whoever drops more than was agreed on is found.
	if len(v.kept) > 0 && v.kept[0].Seq == first-1 {
		v.report.Last, v.hash = v.kept[0].Seq, v.kept[0].Hash
		return v.compare()
	}
	return &BrokenError{first - 1, "it is missing, and its head was not kept"}
}

// compare holds the last entry against the heads that were kept of it.
func (v *verifier) compare() error {
	for len(v.kept) > 0 && v.kept[0].Seq == v.report.Last {
		if v.kept[0].Hash != v.hash {
			return &BrokenError{v.report.Last, "the head that was kept is another one"}
		}
		v.report.Kept, v.vouched = v.report.Last, v.report.Last
		v.kept = v.kept[1:]
	}
	return nil
}

func (v *verifier) end() error {
	switch {
	case len(v.kept) > 0 && v.report.Entries == 0:
		return &BrokenError{v.kept[len(v.kept)-1].Seq, "the log is empty, and a head was kept"}
	case len(v.kept) > 0:
		return &BrokenError{v.report.Last + 1, "it is missing, and a later head was kept"}
	case v.vouched < v.report.Last:
		return &BrokenError{v.vouched + 1, "no key of the ring vouches for it"}
	}
	return nil
}
