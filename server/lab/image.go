package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// imageRecipe counts the versions of how an image is made. It is raised with
// every change to that, so that older images are not used any more.
const imageRecipe = 1

// imageAge is how long an image is fresh: mirrors drop the packages that old
// lists name. A stale image is built anew, or used if that fails.
const imageAge = 7 * 24 * time.Hour

// imagePackages are what a server of a hosting provider has, beyond the minimum
// of Debian. There is no firewall among them.
var imagePackages = []string{
	"ca-certificates", "cron", "dbus", "iproute2", "iputils-ping", "kmod",
	"libpam-systemd", "netbase", "openssh-server", "procps", "sudo", "systemd",
	"systemd-sysv", "systemd-timesyncd",
}

// imageFiles are written into every image. The name of the first is that of
// cloud-init, which writes it so on servers with a root password.
var imageFiles = []struct{ path, content string }{
	{"etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\nPermitRootLogin yes\n"},
	{"etc/apt/apt.conf.d/01lab-proxy", "Acquire::http::Proxy \"" + proxyURL + "\";\n"},
	{"etc/resolv.conf", ""},
	{"etc/machine-id", ""}, // each server gets its own
}

// imageRoot is the root file system in an image's directory.
func imageRoot(image string) string { return filepath.Join(image, "root") }

// ensureImage returns the directory of the newest image of the suite and builds
// one if there is none or it is stale. Several processes may call it at once;
// one builds. The package cache must be running.
func ensureImage(ctx context.Context, suite string, progress func(string)) (string, error) {
	dir := filepath.Join(CacheDir(), "images")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	release, err := lock(ctx, filepath.Join(dir, suite+".lock"))
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	defer release()
	sources, err := machineSources(ctx)
	if err != nil {
		return "", err
	}
	kind := suite + "-" + imageHash(suite, sources)
	newest, made, err := newestImage(dir, kind)
	if err != nil {
		return "", err
	}
	if newest != "" && time.Since(made) < imageAge {
		return newest, nil
	}
	progress("building the image of " + suite + ", which takes a minute or two once")
	begin := time.Now()
	image, err := buildImage(ctx, dir, kind, suite, sources)
	if err != nil && newest != "" && ctx.Err() == nil {
		progress(fmt.Sprintf("using the image of %s of %s, because a new one could not be built: %v", suite, made.Format(time.DateOnly), err))
		return newest, nil
	}
	if err != nil {
		return "", fmt.Errorf("image of %s: %w", suite, err)
	}
	progress(fmt.Sprintf("the image of %s is ready after %.0f s", suite, time.Since(begin).Seconds()))
	return image, pruneImages(dir, suite, image)
}

// imageHash tells images apart that are made in another way.
func imageHash(suite string, s Sources) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%q\n%q\n%s", imageRecipe, imagePackages, imageFiles, s.file(suite))
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// newestImage finds the newest image of a kind; the name ends in the second of
// its making.
func newestImage(dir, kind string) (path string, made time.Time, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("image: %w", err)
	}
	for _, e := range entries {
		second, ok := strings.CutPrefix(e.Name(), kind+"-")
		n, err := strconv.ParseInt(second, 10, 64)
		if ok && err == nil && time.Unix(n, 0).After(made) {
			path, made = filepath.Join(dir, e.Name()), time.Unix(n, 0)
		}
	}
	return path, made, nil
}

// pruneImages removes images of the suite that no lab uses, other than keep. A
// lab that has just chosen one and not yet said so chose the newest, so that
// the newest but one stays, too.
func pruneImages(dir, suite, keep string) error {
	labs, err := List()
	if err != nil {
		return err
	}
	images, err := filepath.Glob(filepath.Join(dir, suite+"-*-*"))
	if err != nil {
		return fmt.Errorf("old images: %w", err)
	}
	slices.SortFunc(images, func(a, b string) int {
		return strings.Compare(b[strings.LastIndexByte(b, '-'):], a[strings.LastIndexByte(a, '-'):])
	})
	for i, image := range images {
		used := slices.ContainsFunc(labs, func(l *Lab) bool { return l.state.Image == image })
		if i < 2 || used || image == keep {
			continue
		}
		if err := os.RemoveAll(image); err != nil {
			return fmt.Errorf("old images: %w", err)
		}
	}
	return nil
}

// buildImage makes an image in a draft directory and renames it when it is
// complete. The caller holds the lock of the suite.
func buildImage(ctx context.Context, dir, kind, suite string, sources Sources) (string, error) {
	draft := filepath.Join(dir, ".draft-"+suite)
	sum := sha256.Sum256([]byte(draft))
	name := "hflab-" + suite + "-" + hex.EncodeToString(sum[:4])
	clean := func() error {
		// The builder that left a draft was killed, and what ran in it died with it.
		err := errors.Join(group("."+name).kill(ctx), forgetMachine(name, imageRoot(draft)), unmountAll(ctx, draft))
		if err != nil {
			return err
		}
		return os.RemoveAll(draft)
	}
	if err := clean(); err != nil {
		return "", err
	}
	root := imageRoot(draft)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	err := fillImage(ctx, root, name, suite, sources)
	if err == nil {
		image := filepath.Join(dir, fmt.Sprintf("%s-%d", kind, time.Now().Unix()))
		if err = group("." + name).kill(ctx); err == nil {
			if err = os.Rename(draft, image); err == nil {
				return image, nil
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return "", errors.Join(err, clean())
}

func fillImage(ctx context.Context, root, name, suite string, sources Sources) error {
	// What debootstrap starts and mounts ends with it, however it ends.
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "slave",
		"debootstrap", "--variant=minbase", "--include="+strings.Join(imagePackages, ","), suite, root, sources.Main)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "http_proxy="+proxyURL)
	tied(cmd)
	if err := runTied(ctx, cmd); err != nil {
		return err
	}
	policy := filepath.Join(root, "usr/sbin/policy-rc.d")
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(root, "etc/apt/sources.list")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "etc/apt/sources.list.d/debian.sources"), []byte(sources.file(suite)), 0o644); err != nil {
		return err
	}
	for _, f := range imageFiles {
		path := filepath.Join(root, f.path)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.WriteFile(path, []byte(f.content), 0o644); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"apt-get", "-q", "update", "--error-on=any"},
		{"apt-get", "-qy", "dist-upgrade"},
		{"apt-get", "-qy", "clean"},
	} {
		if err := runInImage(ctx, root, name, argv); err != nil {
			return err
		}
	}
	keys, err := filepath.Glob(filepath.Join(root, "etc/ssh/ssh_host_*"))
	if err != nil {
		return err
	}
	for _, path := range append(keys, policy, filepath.Join(root, "etc/hostname")) {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// runInImage runs a command with the image as its root and the machine's
// network, in mounts of its own.
func runInImage(ctx context.Context, root, name string, argv []string) error {
	g := group("." + name)
	path, err := g.path()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	full := append([]string{"--quiet", "--directory=" + root, "--register=no", "--keep-unit", "--machine=" + name,
		"--pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--setenv=DEBIAN_FRONTEND=noninteractive", "--setenv=LC_ALL=C"}, argv...)
	cmd := exec.Command("systemd-nspawn", full...)
	inGroup(cmd, dir)
	tied(cmd)
	return runTied(ctx, cmd)
}

// runTied runs a command that dies with this process. The kernel watches the
// thread that started it, so that it must stay.
func runTied(ctx context.Context, cmd *exec.Cmd) error {
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Start()
		close(started)
		if err == nil {
			err = cmd.Wait()
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			text := strings.TrimSpace(out.String())
			err = &CommandError{Argv: cmd.Args, Exit: exit.ExitCode(), Output: text[max(0, len(text)-2000):]}
		}
		done <- err
	}()
	<-started
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if cmd.Process != nil {
			// It may have ended by itself.
			_ = cmd.Process.Kill()
		}
		<-done
		return ctx.Err()
	}
}
