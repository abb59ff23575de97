package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
)

// lentFile remembers which codes were lent, by run and account, so that they can
// be taken back whatever has become of the run.
const lentFile = factor.Dir + "/.lent"

// lent is what lentFile holds.
type lent map[string]map[string][]string

func readLent(ctx context.Context, r server.Reader) (lent, error) {
	e, found, err := readEntry(ctx, r, lentFile)
	if err != nil || !found {
		return lent{}, err
	}
	all := lent{}
	if json.Unmarshal([]byte(e.Content), &all) != nil {
		return nil, fmt.Errorf("%s is not what Holdfast writes", lentFile)
	}
	return all, nil
}

func (l lent) write(ctx context.Context, h server.Host) error {
	if len(l) == 0 {
		return h.Remove(ctx, lentFile)
	}
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return h.Write(ctx, lentFile, server.Entry{Mode: 0o600, Owner: "root", Group: "root", Content: string(data)})
}

// Lend gives accounts single-use codes for the logins of one run (guarded apply,
// step 8), in place of those that the run was lent before, and makes the rate
// limit forget the logins so far. It notes the codes before it adds them, so
// that [TakeBack] finds all of them. Accounts that are not enrolled are passed
// over: [Factor.Lent] gives the codes to those who are about to be. It returns
// the accounts that have got theirs.
func Lend(ctx context.Context, h server.Host, run string, codes map[string][]string) ([]string, error) {
	if err := makeFactorDir(ctx, h); err != nil {
		return nil, err
	}
	all, err := readLent(ctx, h)
	if err != nil {
		return nil, err
	}
	old := all[run]
	noted := maps.Clone(old)
	if noted == nil {
		noted = map[string][]string{}
	}
	for account, fresh := range codes {
		noted[account] = append(slices.Clone(fresh), old[account]...)
	}
	all[run] = noted
	if err := all.write(ctx, h); err != nil {
		return nil, err
	}
	var got []string
	for _, account := range slices.Sorted(maps.Keys(codes)) {
		found, err := changeFactor(ctx, h, account, func(f factor.File) factor.File {
			return f.TakeBack(old[account]).Lend(codes[account])
		})
		if err != nil {
			return got, err
		}
		if found {
			got = append(got, account)
		}
	}
	return got, nil
}

// TakeBack takes back the codes that a run was lent, or those of every run if run
// is empty. It may be called again.
func TakeBack(ctx context.Context, h server.Host, run string) error {
	all, err := readLent(ctx, h)
	if err != nil || len(all) == 0 {
		return err
	}
	var failed error
	for _, one := range slices.Sorted(maps.Keys(all)) {
		if run != "" && run != one {
			continue
		}
		for account, codes := range all[one] {
			_, err := changeFactor(ctx, h, account, func(f factor.File) factor.File { return f.TakeBack(codes) })
			failed = errors.Join(failed, err)
		}
		delete(all, one)
	}
	if failed != nil {
		return failed
	}
	return all.write(ctx, h)
}

// AnyLent reports whether codes are lent to any run.
func AnyLent(ctx context.Context, r server.Reader) (bool, error) {
	all, err := readLent(ctx, r)
	return len(all) > 0, err
}

// changeFactor writes the file of an account anew, if it has one and it changes.
func changeFactor(ctx context.Context, h server.Host, account string, change func(factor.File) factor.File) (found bool, err error) {
	if err := checkName("an account", account); err != nil {
		return false, err
	}
	e, found, err := readEntry(ctx, h, factor.Path(account))
	if err != nil || !found {
		return false, err
	}
	f, err := factor.ParseFile(e.Content)
	if err != nil {
		return false, fmt.Errorf("the second factor of %s: %w", account, err)
	}
	next := change(f).String()
	if next == e.Content {
		return true, nil
	}
	e.Content = next
	return true, h.Write(ctx, factor.Path(account), e)
}
