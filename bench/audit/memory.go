package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Targets of the issue, in bytes.
const (
	maxMemory = 64 << 20
	maxBinary = 20 << 20
)

// memory watches holdfastd while it audits and while it plans, and measures the
// programs.
func (b *bench) memory(ctx context.Context) error {
	for _, args := range [][]string{{"audit", first}, {"apply", "--yes", first}} {
		peak, copies, err := b.watch(ctx, args...)
		if err != nil {
			return err
		}
		b.table.add(row{
			what: "peak memory of holdfastd, " + args[0], figure: megabytes(peak), beside: megabytes(copies) + " in all its private copies",
			target: "≤ 64 MiB", ok: peak <= maxMemory,
		})
	}
	for _, name := range []string{"holdfast", "holdfastd-linux-amd64", "holdfastd-linux-arm64"} {
		info, err := os.Stat(filepath.Join(filepath.Dir(b.holdfast), name))
		if err != nil {
			return err
		}
		b.table.add(row{what: "size of " + name, figure: megabytes(info.Size()), target: "≤ 20 MiB", ok: info.Size() <= maxBinary})
	}
	return nil
}

// watch runs holdfast and returns the peak memory (VmHWM) of the holdfastd that
// answers it, and the sum of those of the processes in which it tries things.
func (b *bench) watch(ctx context.Context, args ...string) (peak, copies int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := b.desk(ctx, args...)
		ended <- err
	}()
	high := map[string]int64{}
	inside := map[string]bool{}
	for {
		select {
		case err := <-ended:
			if err == nil && len(high) == 0 {
				err = errors.New("no holdfastd was seen")
			}
			for pid, bytes := range high {
				if inside[pid] {
					copies += bytes
				} else {
					peak = max(peak, bytes)
				}
			}
			return peak, copies, err
		case <-time.After(2 * time.Millisecond):
			b.sample(high, inside)
		}
	}
}

// sample notes the peak of each holdfastd of this lab, by its process here.
func (b *bench) sample(high map[string]int64, inside map[string]bool) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline") // only a malformed pattern fails
	for _, file := range all {
		dir := filepath.Dir(file)
		line, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(line), "/holdfastd\x00") {
			continue // it may have ended
		}
		groups, err := os.ReadFile(filepath.Join(dir, "cgroup"))
		if err != nil || !strings.Contains(string(groups), "/"+b.lab.ID()+"/") {
			continue
		}
		switch {
		case strings.HasSuffix(string(line), "\x00serve\x00"):
		case strings.HasSuffix(string(line), "\x00machine:world\x00"):
			inside[dir] = true
		default:
			continue // the shell that becomes it
		}
		if bytes, err := highWater(dir); err == nil {
			high[dir] = max(high[dir], bytes)
		}
	}
}

// highWater reads VmHWM of a process, in bytes.
func highWater(dir string) (int64, error) {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s does not tell VmHWM", dir)
}
