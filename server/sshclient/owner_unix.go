//go:build unix

package sshclient

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ours is an error if a file belongs to another account: replacing it would give
// it to this one, and ssh reads no configuration of others.
func ours(info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("it belongs to the account with the number %d", st.Uid)
	}
	return nil
}
