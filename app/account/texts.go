package account

import (
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
)

// A Kind says what a mail is about.
type Kind string

// The kinds. Those that carry a link say so.
const (
	Registration    Kind = "registration"     // with a link
	Registered      Kind = "registered"       // somebody has tried to register an address that has an account
	PasswordChanged Kind = "password changed" //
	MailRequested   Kind = "mail requested"   // to the old address
	MailConfirm     Kind = "mail confirm"     // to the new one, with a link
	MailTaken       Kind = "mail taken"       // to the new one, which has an account
	MailChanged     Kind = "mail changed"     // to the old address
	PhoneChanged    Kind = "phone changed"    //
	FactorAdded     Kind = "factor added"     //
	FactorRemoved   Kind = "factor removed"   //
	LossStarted     Kind = "loss started"     // with a link that cancels it
	LossCancelled   Kind = "loss cancelled"   //
	LossDone        Kind = "loss done"        //
	Closed          Kind = "closed"           //
)

// english are subject and text of each kind.
var english = map[Kind][2]string{
	Registration:    {"Your registration", "To choose a password and finish your registration, open this link within an hour. If you have not registered, do nothing.\n\n"},
	Registered:      {"You have an account already", "Somebody, perhaps you, has tried to register this address. You have an account already: log in, or ask for a new password.\n"},
	PasswordChanged: {"Your password was changed", "The password of your account was changed, and all other sessions have ended. If that was not you, ask for a new password at once.\n"},
	MailRequested:   {"Your address is to be changed", "Somebody who is logged in to your account has asked to move it to another address. If that was not you, change your password at once.\n"},
	MailConfirm:     {"Confirm your new address", "To move your account to this address, open this link within an hour. If you have not asked for it, do nothing.\n\n"},
	MailTaken:       {"You have an account already", "Somebody, perhaps you, has tried to move another account to this address. It has an account already.\n"},
	MailChanged:     {"Your address was changed", "Your account was moved to another address. No more mail about it will come here. If that was not you, call us at once.\n"},
	PhoneChanged:    {"Your phone number was changed", "The phone number of your account was changed. If that was not you, change your password at once.\n"},
	FactorAdded:     {"Your second factor was set up", "A second factor was set up for your account. If that was not you, change your password at once.\n"},
	FactorRemoved:   {"Your second factor was removed", "The second factor of your account was removed. If that was not you, change your password at once.\n"},
	LossStarted:     {"Your second factor will be removed", "Somebody with your password says that your second factor is lost. In 72 hours it can be removed. If that was not you, open this link to cancel it, and change your password at once.\n\n"},
	LossCancelled:   {"Your second factor stays", "The removal of your second factor was cancelled.\n"},
	LossDone:        {"Your second factor was removed", "The second factor of your account was removed because it was lost. Set up a new one soon.\n"},
	Closed:          {"Your account was closed", "Your account and its data were removed.\n"},
}

// English writes the mails of [Service] unless a program has texts of its own.
func English(program string) func(k Kind, a login.Account, link string) outbox.Mail {
	return func(k Kind, _ login.Account, link string) outbox.Mail {
		text := english[k]
		m := outbox.Mail{Subject: program + ": " + text[0], Text: text[1]}
		if link != "" {
			m.Text += link + "\n"
		}
		return m
	}
}
