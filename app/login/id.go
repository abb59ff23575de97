package login

import (
	"errors"
	"fmt"

	"golang.org/x/text/secure/precis"
)

// MaxID is the length of the longest login id in bytes, in its canonical form.
const MaxID = 255

// ErrID says that a text cannot be a login id.
var ErrID = errors.New("unusable login id")

// An ID is a login id in its canonical form. Two ids are the same exactly if
// their bytes are; stores compare them in that way and in no other.
type ID string

// ParseID returns the canonical form of what somebody typed: by the
// UsernameCaseMapped profile of PRECIS (RFC 8265, 3.3), full and half width
// letters as the usual ones, lower case, composed (NFC). E-mail addresses are ids
// like others. The error wraps [ErrID] if the text is empty, too long, not UTF-8,
// or holds what the profile forbids: blanks, control characters, letters that
// only look different (such as the long s), mixed directions.
//
// PRECIS does not tell letters of different scripts that look alike from each
// other: a Cyrillic а makes an id of its own, which never finds an account of
// the Latin a.
func ParseID(text string) (ID, error) {
	if text == "" || len(text) > 4*MaxID {
		return "", fmt.Errorf("%d bytes: %w", len(text), ErrID)
	}
	id := text
	// RFC 8264, section 7: some texts are stable only after several rounds.
	for range 4 {
		next, err := precis.UsernameCaseMapped.String(id)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrID, err)
		}
		if next == "" || len(next) > MaxID {
			return "", fmt.Errorf("%d bytes: %w", len(next), ErrID)
		}
		if next == id {
			return ID(id), nil
		}
		id = next
	}
	return "", fmt.Errorf("no stable form: %w", ErrID)
}
