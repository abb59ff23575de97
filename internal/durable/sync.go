//go:build !holdfast_no_fsync

package durable

import "os"

// syncFile is step 4.
func syncFile(f *os.File) error { return f.Sync() }
