package report

import (
	"fmt"
	"time"
)

// The chart's own units; the page stretches it.
const (
	chartHeight = 100.0
	barWidth    = 8.0
	barGap      = 2.0
	// leastShare is the height of the smallest part of a bar that is not nothing,
	// so that one failure among hundreds can be seen.
	leastShare = 4.0
)

// A chart is the history of a site as bars, one for each day: how many controls
// hold, are excepted, could not be told, fail.
type chart struct {
	Width, Height float64
	From, To      time.Time
	Bars          []bar
	// Days is on how many days there was an audit; First and Last are those days.
	Days        int
	First, Last day
}

// A bar is one day.
type bar struct {
	X, Width, Height float64
	Title            string
	Parts            []part
}

// A part of a bar is one verdict.
type part struct {
	Class     string
	Y, Height float64
}

func newChart(all []day) chart {
	c := chart{Width: float64(len(all))*(barWidth+barGap) - barGap, Height: chartHeight, From: all[0].Date, To: all[len(all)-1].Date}
	for i, d := range all {
		b := bar{X: float64(i) * (barWidth + barGap), Width: barWidth, Height: chartHeight}
		b.Title = d.Date.Format(time.DateOnly) + ": no audit"
		if d.Servers > 0 {
			b.Title = fmt.Sprintf("%s: %s on %s", d.Date.Format(time.DateOnly), d.Tally, plural(d.Servers, "server"))
			b.Parts = parts(d.Tally)
			if c.Days == 0 {
				c.First = d
			}
			c.Days++
			c.Last = d
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}

// parts stack the verdicts of a day, what fails on top.
func parts(t Tally) []part {
	counts := []struct {
		class string
		n     int
	}{{"fail", t.Fail}, {"unknown", t.Unknown}, {"excepted", t.Excepted}, {"pass", t.Pass}}
	heights := make([]float64, len(counts))
	sum := 0.0
	for i, c := range counts {
		if c.n > 0 {
			heights[i] = max(leastShare, chartHeight*float64(c.n)/float64(t.All()))
			sum += heights[i]
		}
	}
	var all []part
	y := 0.0
	for i, c := range counts {
		if c.n == 0 {
			continue
		}
		h := heights[i] * chartHeight / sum
		all = append(all, part{Class: c.class, Y: y, Height: h})
		y += h
	}
	return all
}

// Shares are the verdicts that count as parts of a line from 0 to 100, what holds
// first; Y is where a part begins and Height how long it is.
func (t Tally) Shares() []part {
	var all []part
	at := 0.0
	for _, c := range []struct {
		class string
		n     int
	}{{"pass", t.Pass}, {"unknown", t.Unknown}, {"fail", t.Fail}} {
		if c.n > 0 {
			long := 100 * float64(c.n) / float64(t.Counted())
			all = append(all, part{Class: c.class, Y: at, Height: long})
			at += long
		}
	}
	return all
}
