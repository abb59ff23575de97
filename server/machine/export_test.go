//go:build linux

package machine

import "context"

// MaxCopy is how much is copied, in bytes.
const MaxCopy = maxCopy

// EnterByCopy is Enter on a machine where overlays cannot be mounted and no more
// than limit bytes are copied.
func (m *Machine) EnterByCopy(ctx context.Context, limit int64) (*World, error) {
	return m.enter(ctx, entering{CopyLimit: limit})
}

// Needed returns which of the lines of a mountinfo a World needs below the place
// with the path.
func Needed(path string, lines ...string) ([]string, error) {
	var all []string
	for _, line := range lines {
		m, err := parseMount(line)
		if err != nil {
			return nil, err
		}
		for _, p := range places() {
			if p.path == path && p.needs(m) {
				all = append(all, m.path)
			}
		}
	}
	return all, nil
}

// MaxTranscript is how many bytes of output an error carries.
const MaxTranscript = maxTranscript

// Grace is how long a command has between SIGTERM and SIGKILL.
const Grace = grace

// PID is the child's process, seen from outside.
func (w *World) PID() int { return w.pid }
