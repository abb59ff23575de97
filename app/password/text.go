package password

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// Prepare returns the password as it is hashed: by the OpaqueString profile of
// PRECIS (RFC 8265, section 4.2): composed (NFC), other spaces as U+0020, letter
// case kept. The error wraps ErrPassword if it is empty, longer than MaxLength,
// not UTF-8, or holds what the profile forbids, such as control characters.
func Prepare(password string) (string, error) {
	if len(password) > MaxLength {
		return "", fmt.Errorf("%d bytes, the limit is %d: %w", len(password), MaxLength, ErrPassword)
	}
	if !utf8.ValidString(password) {
		return "", fmt.Errorf("not UTF-8: %w", ErrPassword)
	}
	// Errors of the profile would quote runes of the password.
	prepared, err := precis.OpaqueString.String(password)
	if err != nil {
		return "", fmt.Errorf("empty, or a character that passwords cannot have: %w", ErrPassword)
	}
	return prepared, nil
}

// forms returns what to try: the prepared password, and the raw one if it
// differs, because programs that we import from may have hashed that.
func forms(password string) []string {
	prepared, err := Prepare(password)
	switch {
	case err != nil:
		return []string{password}
	case prepared != password:
		return []string{prepared, password}
	}
	return []string{prepared}
}
