package drivertest_test

import (
	"testing"

	"github.com/holdfast-security/holdfast/app/access/accesstest"
	"github.com/holdfast-security/holdfast/app/session/sessiontest"
	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

func TestSessions(t *testing.T) {
	for _, kind := range drivertest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := drivertest.Require(t, kind)
			t.Run("access", func(t *testing.T) {
				accesstest.Run(t, func(t *testing.T) *store.Store { return drivertest.Store(t, server) })
			})
			sessiontest.Run(t, func(t *testing.T) *store.Store { return drivertest.Store(t, server) })
		})
	}
}
