package account_test

import (
	"testing"

	"github.com/holdfast-security/holdfast/app/account"
	"github.com/holdfast-security/holdfast/app/account/accounttest"
	"github.com/holdfast-security/holdfast/app/session"
	"github.com/holdfast-security/holdfast/app/store/memory"
)

var _ account.Who = session.Session{}

func TestPromises(t *testing.T) {
	accounttest.Run(t, func(*testing.T) *memory.Store { return memory.New() })
}
