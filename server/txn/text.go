package txn

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/holdfast-security/holdfast/server"
)

// text is a [server.State] as the journal stores it: a JSON string, or, because
// a state holds the content of files and JSON strings are Unicode only, an
// object with its bytes.
type text server.State

type rawText struct {
	Bytes []byte `json:"bytes"`
}

// MarshalJSON loses no byte.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(rawText{Bytes: []byte(t)})
}

// UnmarshalJSON reads both forms.
func (t *text) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		var raw rawText
		err := json.Unmarshal(data, &raw)
		*t = text(raw.Bytes)
		return err
	}
	return json.Unmarshal(data, (*string)(t))
}

// storedChange is a [server.Change] as the journal stores it.
type storedChange struct {
	Resource string `json:"resource"`
	Before   text   `json:"before"`
	After    text   `json:"after"`
}

// stored is a change on its way to disk, and with change back.
func stored(c server.Change) storedChange {
	return storedChange{Resource: c.Resource, Before: text(c.Before), After: text(c.After)}
}

func (c storedChange) change() server.Change {
	return server.Change{Resource: c.Resource, Before: server.State(c.Before), After: server.State(c.After)}
}
