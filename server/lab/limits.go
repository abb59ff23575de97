package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The kernel counts inotify instances for each user, and all servers of all
// labs are the same root to it. A booted server holds about a dozen; with the
// default of 128 the tenth does not boot.
const (
	inotifyInstances = "/proc/sys/fs/inotify/max_user_instances"
	enoughInstances  = 4096
)

// makeRoom raises the machine's limit on inotify instances until its next boot.
func makeRoom() error {
	text, err := os.ReadFile(inotifyInstances)
	if err != nil {
		return fmt.Errorf("reading the limit of inotify instances: %w", err)
	}
	now, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("reading the limit of inotify instances: %w", err)
	}
	if now >= enoughInstances {
		return nil
	}
	if err := os.WriteFile(inotifyInstances, []byte(strconv.Itoa(enoughInstances)), 0); err != nil {
		return fmt.Errorf("raising the limit of inotify instances: %w", err)
	}
	return nil
}
