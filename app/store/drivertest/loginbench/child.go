package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

// A child is the program in a process of its own.
type child struct {
	hello
	cmd    *exec.Cmd
	stdin  io.Closer
	client *http.Client
}

// start starts the program on a database and waits until it serves.
func start(ctx context.Context, kind drivertest.Kind, dsn string, queue int) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "serve", "-kind", string(kind), "-dsn", dsn, "-queue", strconv.Itoa(queue))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, stdin: stdin, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true},
		Timeout:   2 * time.Minute,
	}}
	if err := json.NewDecoder(stdout).Decode(&c.hello); err != nil {
		return nil, errors.Join(fmt.Errorf("the program did not start: %w: %s", err, stderr.String()), c.stop())
	}
	return c, nil
}

func (c *child) stop() error {
	c.client.CloseIdleConnections()
	c.stdin.Close()
	return c.cmd.Wait()
}

// An answer is what a client sees.
type answer struct {
	status int
	took   time.Duration
	shape  string // status, headers and length: everything but the time
}

// login sends one attempt and reads the whole answer.
func (c *child) login(ctx context.Context, id, pw string, plant time.Duration) (answer, error) {
	body := url.Values{"id": {id}, "password": {pw}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.Addr+"/login", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Plant", plant.String())
	begin := time.Now()
	resp, err := c.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	took := time.Since(begin)
	if err != nil {
		return answer{}, err
	}
	resp.Header.Del("Date")
	var headers bytes.Buffer
	if err := resp.Header.Write(&headers); err != nil { // sorted
		return answer{}, err
	}
	return answer{resp.StatusCode, took, fmt.Sprintf("%s, %s, %d bytes", resp.Status, headers.String(), len(text))}, nil
}

// probes returns how long refusals took inside Do.
func (c *child) probes(ctx context.Context) (took []time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Addr+"/probes", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return took, json.NewDecoder(resp.Body).Decode(&took)
}

// resident reads a line of /proc/self/status, such as VmRSS, in bytes; 0 if there
// is none.
func resident(line string) int64 { return residentOf("self", line) }

func residentOf(pid, line string) int64 {
	f, err := os.Open("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), line+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
