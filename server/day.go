package server

import "time"

// A Day is a date as YYYY-MM-DD, the last on which something holds: it ends at
// midnight UTC.
type Day string

// end is when the day is over; ok is false if it is no date.
func (d Day) end() (end time.Time, ok bool) {
	t, err := time.Parse(time.DateOnly, string(d))
	return t.AddDate(0, 0, 1), err == nil
}

// Valid reports whether the day is a date.
func (d Day) Valid() bool {
	_, ok := d.end()
	return ok
}

// Over reports whether the day has ended at now. What is no date is over: what
// depends on it does not hold.
func (d Day) Over(now time.Time) bool {
	end, ok := d.end()
	return !ok || !now.Before(end)
}
