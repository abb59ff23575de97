// Package session remembers who is logged in (guide 4.7 and 4.8.1; OWASP ASVS 5.0,
// chapter 7; SP 800-63B-4, 5.1).
//
//	sessions := &session.Manager{Store: store} // from app/store
//	mux.Handle("/todos", sessions.Require(todos))
//
//	// after login.Service.Login, and the second factor if there is one:
//	_, err = sessions.Start(w, r, session.Proof{
//		Account: in.Account.Key, Epoch: in.Account.Epoch, By: "password", Addr: client,
//	})
//
//	// in a handler:
//	who, ok := session.Of(r)
//
// # Tokens
//
// A token is 256 random bits and means nothing by itself. The browser holds it in a
// cookie with the __Host- prefix, HttpOnly, Secure and SameSite=Lax, the store holds
// its SHA-256: whoever reads the table gets no session. A session begins at login
// with a new token; there are none before the login, so there is nothing to plant in
// a browser. When what a person may do changes, [Manager.Rotate] gives the same
// session a new token; the old one is good for nothing from that moment, and of many
// requests that rotate at once one wins.
//
// # Ends
//
// A session ends after [Manager.Idle] without a request and after [Manager.Lifetime]
// in all, whichever is first; use is written down at most once a minute, so the idle
// time may be over up to a minute early, never late. It ends by [Manager.End], from
// the list of its owner's sessions, and at once when the account's epoch changes: the
// store compares the two each time it looks a session up, so a changed password or
// an account that is switched off leaves no session behind, whoever forgot to end
// them. [Ender.EndSessions] works inside the transaction that is the reason.
// There is no remember-me apart from [Proof.Remember], an explicit lifetime.
//
// # Middleware
//
// The middleware changes the context of the request and headers, and hands on the
// ResponseWriter as it came. What acts for a person takes a [Session] as a parameter,
// which only a [Manager] makes from a verified cookie.
//
// The guide's sample makes its secret at each start and so ends all sessions; it
// counts on UUIDs, and sets no SameSite. Here nothing but the table is secret.
//
// If the store fails, nobody is taken for logged in, nobody is taken for logged out,
// and the request is refused with 503.
package session
