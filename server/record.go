package server

import "time"

// An AuditRecord is an audit of one server as it is kept: on the server, which
// audits itself every day, and at the desk.
type AuditRecord struct {
	// Site and Server say what was audited.
	Site   string `json:"site"`
	Server string `json:"server"`
	// At is when, to the second and in UTC.
	At time.Time `json:"at"`
	// Daily says that the server did it by itself, and not a desk.
	Daily bool `json:"daily,omitempty"`
	// Version is that of the program.
	Version string   `json:"version"`
	Results []Result `json:"results"`
}
