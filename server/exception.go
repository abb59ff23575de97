package server

import "time"

// An Exception switches a control of one server off on purpose. While it is in
// force, plans leave the control out and audits count it apart; what the control
// has changed before stays.
type Exception struct {
	// Control is the control's ID.
	Control string `json:"control"`
	// Reason is why, and Owner who answers for it, in the operator's words.
	Reason string `json:"reason"`
	Owner  string `json:"owner"`
	// Until is the last day on which it is in force.
	Until Day `json:"until"`
}

// String is the exception in one line.
func (e Exception) String() string {
	return e.Control + " until " + string(e.Until) + ": " + e.Reason + " (" + e.Owner + ")"
}

// Exception returns the exception of a control and whether there is one. Of
// several the one that lasts longest counts. It may be over at now: then it is
// not in force, and an audit says so.
func (c Config) Exception(control string, now time.Time) (e Exception, inForce, found bool) {
	for _, one := range c.Exceptions {
		if one.Control == control && (!found || one.Until > e.Until) {
			e, found = one, true
		}
	}
	return e, found && !e.Until.Over(now), found
}
