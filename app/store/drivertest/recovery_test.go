package drivertest_test

import (
	"testing"

	"github.com/holdfast-security/holdfast/app/recovery/recoverytest"
	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
)

func TestRecovery(t *testing.T) {
	for _, kind := range drivertest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := drivertest.Require(t, kind)
			recoverytest.Run(t, func(t *testing.T) *store.Store { return drivertest.Store(t, server) })
			t.Run("faults", func(t *testing.T) {
				s, faults, closeDB, err := server.Faulty(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer closeDB()
				recoverytest.Faults(t, s, faults.Arm)
			})
		})
	}
}
