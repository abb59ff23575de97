package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// A row is one line of the result.
type row struct {
	what, figure string
	// beside is the other tool's figure, ratio what compares the two.
	beside, ratio string
	// target is empty if there is none for this line.
	target string
	ok     bool
}

type table struct{ rows []row }

func (t *table) add(rows ...row) {
	for _, r := range rows {
		say(strings.Join(strings.Fields(r.what+": "+r.figure+" "+r.beside+" "+r.ratio), " "))
	}
	t.rows = append(t.rows, rows...)
}

// print writes the table, and on how busy a machine it was measured.
func (t *table) print(w io.Writer) {
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	fmt.Fprintf(w, "%d processors, shared by the desk and all servers; load at the end %s\n\n", runtime.NumCPU(), load)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tfigure\tbeside\tratio\ttarget\t")
	for _, r := range t.rows {
		verdict := ""
		switch {
		case r.target != "" && r.ok:
			verdict = "met"
		case r.target != "":
			verdict = "MISSED"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.figure, r.beside, r.ratio, r.target, verdict)
	}
	tw.Flush()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func count(n int) string { return strconv.Itoa(n) }

func times(f float64) string { return fmt.Sprintf("%.1f ×", f) }
