// Package gate keeps costly work, above all password hashing, within a budget of
// memory and processors, so that a flood of logins slows a program down and does
// not end it (OWASP ASVS 5.0, 15.1.3 and 15.2.2).
//
// One Argon2id hash takes 19 MiB and a whole core for some 25 ms. Without a bound,
// 64 logins at once touch 1.2 GiB, and a program that has been idle spends its
// first seconds on getting that memory instead of on hashing. A [Gate] lets as
// many jobs run as the budget allows, each weighted by its memory and its lanes,
// lets a bounded number wait in the order in which they came, for a bounded time,
// and turns the rest away at once:
//
//	var hashing gate.Gate // the zero value is ready: GOMAXPROCS lanes, 256 MiB
//
//	err := hashing.Do(ctx, gate.Weight{Memory: 19 << 20, Lanes: 1}, func() error {
//		// the costly work
//	})
//	if errors.Is(err, gate.ErrBusy) {
//		w.Header().Set("Retry-After", strconv.Itoa(int(hashing.RetryAfter().Seconds())))
//		http.Error(w, "too busy, try again", http.StatusServiceUnavailable)
//		return
//	}
//
// One program has one gate, shared by everything that hashes; two gates make two
// budgets. A job larger than the whole budget could never run: [Gate.Check] finds
// that when the program is configured. A job with more lanes than the gate has
// slots takes all of them, since more lanes than processors only share them.
//
// The order is strict: a heavy job at the head of the queue is not overtaken by
// light ones, so it does not starve. [Gate.Stats] counts what happened, and the
// hook OnRefused hears of each refusal.
//
// If there is no room in the queue, or none is found in time, Do fails with
// [ErrBusy]: the job has not run and nothing is known about its outcome.
package gate
