package lab

import (
	"context"
	"errors"
	"fmt"
)

// fakeSysDir is where the copies are, inside the server.
const fakeSysDir = "/run/fakesys"

// FakeSys lays private, writable copies over the kernel settings outside of net
// (kernel.*, fs.*, vm.* and the like), which belong to the machine and are
// read-only inside. Programs can then set them and read them back until the
// server goes off. Nothing reaches the kernel, and its checks of values and
// one-way switches are not imitated.
func (s *Server) FakeSys(ctx context.Context) error {
	if _, err := s.Exec(ctx, nil, "test", "-d", fakeSysDir); err == nil {
		return nil
	}
	draft := fakeSysDir + ".new"
	commands := [][]string{{"mkdir", "-p", draft, draft + "/.random"}}
	// The random numbers, among them the boot's id, stay live.
	commands = append(commands, []string{"mount", "--bind", "/proc/sys/kernel/random", draft + "/.random"})
	for _, area := range []string{"abi", "debug", "dev", "fs", "user", "vm", "kernel"} {
		commands = append(commands,
			[]string{"cp", "-r", "/proc/sys/" + area, draft},
			[]string{"chmod", "-R", "u+w", draft + "/" + area},
			[]string{"mount", "--bind", draft + "/" + area, "/proc/sys/" + area})
	}
	commands = append(commands,
		[]string{"mount", "--bind", draft + "/.random", "/proc/sys/kernel/random"},
		[]string{"mkdir", fakeSysDir})
	for _, argv := range commands {
		_, err := s.Exec(ctx, nil, argv...)
		var no *CommandError
		if argv[0] == "cp" && errors.As(err, &no) {
			continue // some settings cannot be read, or are not there
		}
		if argv[0] != "cp" && errors.As(err, &no) && s.lacks(ctx, argv[len(argv)-1]) {
			continue // a kernel without this area
		}
		if err != nil {
			return fmt.Errorf("server %s: fake kernel settings: %w", s.name, err)
		}
	}
	return nil
}

func (s *Server) lacks(ctx context.Context, path string) bool {
	_, err := s.Exec(ctx, nil, "test", "-e", path)
	var no *CommandError
	return errors.As(err, &no)
}
