package memory_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/store/memory"
)

// The change of a password and the notice of it are one transaction.
func Example() {
	ctx, s := context.Background(), memory.New()
	anna := login.NewAccount("anna", "anna@example.org", "old hash")
	fmt.Println(s.AddAccount(ctx, anna))

	change := func(notice outbox.Mail) error {
		return s.Tx(ctx, func(tx *memory.Store) error {
			if err := tx.SetPassword(ctx, anna.Key, "new hash"); err != nil {
				return err
			}
			return tx.PutMail(ctx, notice)
		})
	}
	fmt.Println(errors.Is(change(outbox.Mail{To: "no address"}), outbox.ErrMail))
	now, err := s.Account(ctx, anna.Key)
	fmt.Println(now.Password, err)

	fmt.Println(change(outbox.Mail{To: anna.Mail, Subject: "Your password was changed"}))
	now, err = s.Account(ctx, anna.Key)
	fmt.Println(now.Password, err)
	// Output:
	// <nil>
	// true
	// old hash <nil>
	// <nil>
	// new hash <nil>
}
