//go:build !linux

package txn

import (
	"errors"
	"os"
	"time"
)

// Servers run Linux. Elsewhere this package only reads and prints.

func sinceBoot() time.Duration           { return 0 }
func allocate(_ *os.File, _ int64) error { return errors.ErrUnsupported }
func inMemory(string) error              { return errors.ErrUnsupported }
func syncAll() error                     { return errors.ErrUnsupported }
