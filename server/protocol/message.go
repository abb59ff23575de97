package protocol

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-security/holdfast/server"
)

// Format is the number of the form that messages have. A higher one is refused
// in words.
const Format = 1

// Bounds of a message. The largest real ones are plans that show whole files.
const (
	// MaxSize is the size of a message in bytes, line break included.
	MaxSize = 8 << 20
	// MaxDepth is how many objects and arrays may be inside each other.
	MaxDepth = 64
)

// A message is one line in either direction.
type message struct {
	Format int    `json:"format"`
	ID     uint64 `json:"id"`

	// Requests.
	Op      Op                `json:"op,omitempty"`
	Body    json.RawMessage   `json:"body,omitempty"`
	Secrets map[string]string `json:"secrets,omitempty"`
	Cancel  bool              `json:"cancel,omitempty"`

	// Answers: one of them.
	Event  *Event          `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}

// Carried is embedded by a body that brings secrets along.
type Carried struct {
	// Secrets are what the server needs for this run, by name, as in
	// [server.Config]. They are never part of the body's JSON.
	Secrets map[string]server.Secret `json:"-"`
}

func (c Carried) carries() map[string]server.Secret { return c.Secrets }
func (c *Carried) take(s map[string]server.Secret)  { c.Secrets = s }

// reveal is the one place where secrets become text, on their way out.
func reveal(body any) map[string]string {
	b, ok := body.(interface {
		carries() map[string]server.Secret
	})
	if !ok {
		return nil
	}
	open := make(map[string]string)
	for name, secret := range b.carries() {
		open[name] = secret.Reveal()
	}
	return open
}

// conceal is the opposite of reveal.
func conceal(open map[string]string) map[string]server.Secret {
	secrets := make(map[string]server.Secret, len(open))
	for name, content := range open {
		secrets[name] = server.NewSecret(content)
	}
	return secrets
}

// A SizeError is a message that is larger than [MaxSize] or deeper than
// [MaxDepth].
type SizeError struct {
	// What is "bytes" or "levels".
	What string
	// Most is how many there may be.
	Most int
}

// Error names the bound.
func (e *SizeError) Error() string {
	return fmt.Sprintf("a message has more than %d %s", e.Most, e.What)
}

// A FormatError is a message in a form that this end does not know.
type FormatError struct {
	// Theirs is the format of the message, Ours the highest that is known where
	// it was read.
	Theirs, Ours int
}

// Error says who is older.
func (e *FormatError) Error() string {
	if e.Theirs > e.Ours {
		return fmt.Sprintf("a message has format %d, and the program that reads it is older and knows formats up to %d", e.Theirs, e.Ours)
	}
	return fmt.Sprintf("a message has format %d, which does not exist", e.Theirs)
}

// encode returns m as one line.
func encode(m message) ([]byte, error) {
	m.Format = Format
	line, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(line)+1 > MaxSize {
		return nil, &SizeError{What: "bytes", Most: MaxSize}
	}
	return append(line, '\n'), nil
}

// decode reads one line. With a *FormatError the ID is set if there was one.
func decode(line []byte) (message, error) {
	if err := checkDepth(line); err != nil {
		return message{}, err
	}
	var head struct {
		Format int    `json:"format"`
		ID     uint64 `json:"id"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return message{}, fmt.Errorf("a message is not what it should be: %w", err)
	}
	if head.Format < 1 || head.Format > Format {
		return message{ID: head.ID}, &FormatError{Theirs: head.Format, Ours: Format}
	}
	var m message
	if err := strictly(line, &m); err != nil {
		return message{ID: head.ID}, fmt.Errorf("a message is not what it should be: %w", err)
	}
	return m, nil
}

// decodeForeign reads one line that nobody vouches for.
func decodeForeign(line []byte) (message, error) {
	if err := checkDepth(line); err != nil {
		return message{}, err
	}
	if !json.Valid(line) {
		return message{}, errors.New("a message is not JSON")
	}
	return decode(cleanJSON(line))
}

// strictly decodes JSON and refuses fields that v does not have: what is not
// understood must not be skipped.
func strictly(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// checkDepth counts brackets outside of strings, before any decoder recurses.
func checkDepth(line []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return &SizeError{What: "levels", Most: MaxDepth}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// readLine returns the next line without its end, or a *SizeError. A last line
// that has no end was cut off: that is [io.ErrUnexpectedEOF].
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > MaxSize {
			return nil, &SizeError{What: "bytes", Most: MaxSize}
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// body encodes a request's body; nil becomes an empty object.
func body(in any) (json.RawMessage, map[string]string, error) {
	if in == nil {
		return json.RawMessage("{}"), nil, nil
	}
	data, err := json.Marshal(in)
	if err != nil {
		return nil, nil, err
	}
	return data, reveal(in), nil
}
