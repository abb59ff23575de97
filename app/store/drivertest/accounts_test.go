package drivertest_test

import (
	"testing"

	"github.com/holdfast-security/holdfast/app/account/accounttest"
	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

func TestAccounts(t *testing.T) {
	for _, kind := range drivertest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := drivertest.Require(t, kind)
			accounttest.Run(t, func(t *testing.T) *store.Store { return drivertest.Store(t, server) })
		})
	}
}
