//go:build !linux

package lab

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const onLinux = false

const sigPowerOff = syscall.SIGTERM

var errNotLinux = errors.New("the lab needs Linux")

var errNoDevice = errNotLinux

func tryLock(*os.File) error                 { return errNotLinux }
func mount(_, _, _, _ string) error          { return errNotLinux }
func bindMount(_, _ string) error            { return errNotLinux }
func shareMount(string) error                { return errNotLinux }
func unmount(string) error                   { return errNotLinux }
func detach(string) error                    { return errNotLinux }
func shutDown(string) error                  { return errNotLinux }
func inGroup(*exec.Cmd, *os.File)            {}
func mergeAttr(_, _ *syscall.SysProcAttr)    {}
func inNewNetwork(*exec.Cmd, string)         {}
func tied(*exec.Cmd)                         {}
func ownGroup(*exec.Cmd)                     {}
func withNetwork(string, func() error) error { return errNotLinux }
func makeNetwork(string) error               { return errNotLinux }
func makeDevices(string) error               { return errNotLinux }
func changed(*unix.Stat_t) int64             { return 0 }

type relay struct{}

func newRelay(_, _, _ string, _ time.Duration) (*relay, error) { return nil, errNotLinux }
func (*relay) close() error                                    { return errNotLinux }
