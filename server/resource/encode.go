package resource

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/holdfast-security/holdfast/server"
)

// A Spec is a resource as data, for journals and protocols. Secrets are not
// part of it.
type Spec struct {
	// Kind is the name of the kind, such as "file".
	Kind string `json:"kind"`
	// Data are the fields of the kind's type.
	Data json.RawMessage `json:"data"`
}

// Encode returns r as data. It fails if r is of no kind of this package or
// would not come back equal, as text that is not UTF-8 would not.
func Encode(r server.Resource) (Spec, error) {
	kind, err := kindOf(r)
	if err != nil {
		return Spec{}, err
	}
	if f, ok := r.(File); ok && !utf8.ValidString(f.Content) {
		return Spec{}, fmt.Errorf("encoding %s: the content is not UTF-8", r.Name())
	}
	data, err := json.Marshal(r)
	if err != nil {
		return Spec{}, fmt.Errorf("encoding %s: %w", r.Name(), err)
	}
	return Spec{Kind: kind, Data: data}, nil
}

func kindOf(r server.Resource) (string, error) {
	switch r.(type) {
	case File:
		return "file", nil
	case Absent:
		return "absent", nil
	case Dir:
		return "directory", nil
	case Package:
		return "package", nil
	case Account:
		return "account", nil
	case Password:
		return "password", nil
	case Unit:
		return "unit", nil
	case Daemon:
		return "daemon", nil
	case PAM:
		return "pam", nil
	case Program:
		return "program", nil
	case Aging:
		return "aging", nil
	case Factor:
		return "factor", nil
	case Table:
		return "table", nil
	case Link:
		return "link", nil
	case Loaded:
		return "loaded", nil
	case Started:
		return "started", nil
	}
	return "", fmt.Errorf("%T is not a kind of resource", r)
}

// Decode returns the resource that s describes. Unknown kinds and unknown
// fields are errors: they were written by a newer version.
func Decode(s Spec) (server.Resource, error) {
	switch s.Kind {
	case "file":
		return decode[File](s)
	case "absent":
		return decode[Absent](s)
	case "directory":
		return decode[Dir](s)
	case "package":
		return decode[Package](s)
	case "account":
		return decode[Account](s)
	case "password":
		return decode[Password](s)
	case "unit":
		return decode[Unit](s)
	case "daemon":
		return decode[Daemon](s)
	case "pam":
		return decode[PAM](s)
	case "program":
		return decode[Program](s)
	case "aging":
		return decode[Aging](s)
	case "factor":
		return decode[Factor](s)
	case "table":
		return decode[Table](s)
	case "link":
		return decode[Link](s)
	case "loaded":
		return decode[Loaded](s)
	case "started":
		return decode[Started](s)
	}
	return nil, fmt.Errorf("unknown kind of resource %q", s.Kind)
}

func decode[T server.Resource](s Spec) (server.Resource, error) {
	var r T
	d := json.NewDecoder(bytes.NewReader(s.Data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("decoding a resource of kind %q: %w", s.Kind, err)
	}
	return r, nil
}
