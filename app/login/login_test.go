package login_test

import (
	"testing"

	"github.com/holdfast-security/holdfast/app/login/logintest"
	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/store/storetest"
)

func TestPromises(t *testing.T) {
	logintest.Run(t, func(*testing.T) func() storetest.Store {
		s := memory.New()
		return func() storetest.Store { return s }
	})
}
