package breached

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A Failure says what a [Range] answers when its service does not.
type Failure int

// What to do about a service that does not answer; there is no default.
const (
	// Refuse makes Contains fail, so that no password can be chosen meanwhile.
	Refuse Failure = iota + 1
	// InsecureAccept makes Contains answer that the password is not in the list,
	// so that breached ones can be chosen meanwhile; OnFailure hears of it.
	InsecureAccept
)

// ErrService says that a service gave no usable answer.
var ErrService = errors.New("the service of breached passwords did not answer")

// maxRange bounds an answer in bytes; they have some 100 KiB with padding.
const maxRange = 4 << 20

// Range asks a service by k-anonymity: it sends five hex digits of the password's
// SHA-1 and receives all hashes that begin so, as the Pwned Passwords API. The
// service learns 20 bits of the password's hash, when it was chosen, and the
// program's address; a [List] tells nobody anything.
type Range struct {
	// URL is what the five digits are appended to, for example
	// "https://api.pwnedpasswords.com/range/".
	URL string
	// OnError must be chosen.
	OnError Failure
	// Client, if not nil, is used in place of one that follows no redirects.
	Client *http.Client
	// Timeout is the longest that a question takes; 0 means 3 seconds.
	Timeout time.Duration
	// OnFailure, if not nil, is told of each failed question.
	OnFailure func(error)
}

// Contains asks for the password in exactly this spelling. The error wraps
// ErrService, if OnError is Refuse; the URL in it holds five digits of the hash.
func (r *Range) Contains(ctx context.Context, password string) (bool, error) {
	if r.OnError != Refuse && r.OnError != InsecureAccept {
		return false, errors.New("breached.Range: OnError is not chosen")
	}
	sum := sha1.Sum([]byte(password))
	hash := strings.ToUpper(hex.EncodeToString(sum[:]))
	found, err := r.ask(ctx, hash[:5], hash[5:])
	if err == nil {
		return found, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	err = fmt.Errorf("%w: %w", ErrService, err)
	if r.OnFailure != nil {
		r.OnFailure(err)
	}
	if r.OnError == InsecureAccept {
		return false, nil
	}
	return false, err
}

func (r *Range) ask(ctx context.Context, prefix, suffix string) (bool, error) {
	timeout := r.Timeout
	if timeout == 0 {
		timeout = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+prefix, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Add-Padding", "true") // so that the size tells nothing
	req.Header.Set("User-Agent", "holdfast-breached")
	client := r.Client
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	res, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %s", res.Status)
	}
	return findSuffix(io.LimitReader(res.Body, maxRange+1), suffix)
}

// findSuffix reads the whole answer, so that one that was cut off or is no answer
// is not taken for "not found".
func findSuffix(body io.Reader, suffix string) (bool, error) {
	found, n, size := false, 0, 0
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		size += len(lines.Text()) + 1
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		digits, count, ok := strings.Cut(line, ":")
		if _, err := hex.DecodeString("0" + digits); err != nil || !ok || len(digits) != len(suffix) {
			return false, errors.New("the answer is no list of hashes")
		}
		n++
		if strings.EqualFold(digits, suffix) && count != "0" { // padding has the count 0
			found = true
		}
	}
	if err := lines.Err(); err != nil {
		return false, err
	}
	if n == 0 || size > maxRange {
		return false, errors.New("the answer is empty or too long")
	}
	return found, nil
}
