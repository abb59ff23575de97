package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The package cache has an address that no lab has. It is the machine's, on an
// interface without a cable, and servers reach it over their default route.
const (
	proxyLink    = "hflab0"
	proxyAddress = "10.77.0.1"
	proxyPort    = "3142"
	proxyURL     = "http://" + proxyAddress + ":" + proxyPort
	proxyGroup   = group(".packages")
)

// defaultCache is where images and packages are kept.
const defaultCache = "/var/cache/holdfast-lab"

// CacheDir is where images and packages are kept between labs. It is
// /var/cache/holdfast-lab unless the variable HOLDFAST_LAB_CACHE names another
// absolute path.
func CacheDir() string {
	if dir := os.Getenv("HOLDFAST_LAB_CACHE"); filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	return defaultCache
}

// startProxy starts the package cache if it is not running. It is for all labs,
// so one that is running may have another cache directory.
func startProxy(ctx context.Context) error {
	release, err := lockMachine(ctx)
	if err != nil {
		return err
	}
	defer release()
	if proxyAnswers(ctx) {
		return nil
	}
	if err := stopProxy(ctx); err != nil {
		return err
	}
	if err := runProxy(ctx); err != nil {
		return fmt.Errorf("package cache: %w", err)
	}
	return nil
}

func runProxy(ctx context.Context) error {
	_, err := run(ctx, strings.NewReader("link add "+proxyLink+" type bridge\n"+
		"addr add "+proxyAddress+"/32 dev "+proxyLink+"\n"+
		"link set "+proxyLink+" up\n"), "ip", "-batch", "-")
	if err != nil {
		return err
	}
	dir := filepath.Join(CacheDir(), "apt")
	for _, sub := range []string{"cache", "log", "conf"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	// The packaged configuration sends requests to other mirrors than those
	// asked for, which this machine may not reach.
	conf := "CacheDir: " + dir + "/cache\nLogDir: " + dir + "/log\nPidFile: " + dir + "/pid\nSocketPath: " + dir + "/socket\n" +
		"BindAddress: " + proxyAddress + "\nPort: " + proxyPort + "\nForeGround: 1\nReportPage:\nExThreshold: 60\n"
	up, err := upstreamProxy(ctx)
	if err != nil {
		return err
	}
	if up != "" {
		conf += "Proxy: " + up + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "conf/acng.conf"), []byte(conf), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log/output"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("apt-cacher-ng", "-c", filepath.Join(dir, "conf"))
	cmd.Stdout, cmd.Stderr = log, log
	ended, err := proxyGroup.start(cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	// An apt-cacher-ng of the machine that listens everywhere may answer instead.
	for !proxyAnswers(ctx) {
		select {
		case <-ended:
			return fmt.Errorf("apt-cacher-ng ended, see %s", log.Name())
		case <-ctx.Done():
			return fmt.Errorf("apt-cacher-ng does not answer: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// stopUnusedProxy stops the package cache if there is no lab. The caller holds
// the machine's lock.
func stopUnusedProxy(ctx context.Context) error {
	labs, err := List()
	if err != nil || len(labs) > 0 {
		return err
	}
	return stopProxy(ctx)
}

// stopProxy removes the package cache's process and interface. The caller holds
// the machine's lock.
func stopProxy(ctx context.Context) error {
	if err := proxyGroup.kill(ctx); err != nil {
		return fmt.Errorf("package cache: %w", err)
	}
	if err := deleteLink(ctx, proxyLink); err != nil {
		return fmt.Errorf("package cache: %w", err)
	}
	_, all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range all {
		// Not empty while an image is being built.
		_ = os.Remove(filepath.Join(root, groupRoot))
	}
	return nil
}

func proxyAnswers(ctx context.Context) bool {
	if !linkExists(proxyLink) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", proxyAddress+":"+proxyPort)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// upstreamProxy is the proxy through which this machine's apt goes, if any.
func upstreamProxy(ctx context.Context) (string, error) {
	out, err := run(ctx, nil, "apt-config", "dump", "--format", "%v%n", "Acquire::http::Proxy")
	return strings.TrimSpace(string(out)), err
}
