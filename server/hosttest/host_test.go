package hosttest_test

import (
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
)

func TestHost(t *testing.T) {
	hosttest.TestHost(t, func(t *testing.T) server.Host { return hosttest.Debian(t) })
}
