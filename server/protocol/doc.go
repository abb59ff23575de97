// Package protocol is what the desk and the daemon on a server say to each
// other: requests and answers as JSON, one message a line, over any
// [io.ReadWriter]. It knows nothing of SSH.
//
// A desk makes a [Client] of a connection and calls [Client.Call] with an [Op]
// and the body that belongs to it; a daemon calls [Serve] with one [Handler] for
// each Op it knows. Several calls may be in flight. A call is answered by any
// number of events ([Event]) and then by one result or one [*Error]. A call
// whose context ends is cancelled at the other end, too.
//
// On the wire a request is
//
//	{"format":1,"id":7,"op":"plan","body":{…},"secrets":{…}}
//	{"format":1,"id":7,"cancel":true}
//
// and an answer one of
//
//	{"format":1,"id":7,"event":{…}}
//	{"format":1,"id":7,"result":{…}}
//	{"format":1,"id":7,"error":{"code":"drift","message":"…","state":"unchanged"}}
//
// An error with id 0 is about the connection and ends it.
//
// Secrets travel in a field of their own, outside of the body, and exist in the
// bodies' Go types as [server.Secret] only, so that no body can be printed or
// stored with them.
//
// A connection to a daemon in a private copy of the server ([OpCanary]) is
// carried inside: [Client.Connect] gives a [net.Conn] at the desk, a [Relay]
// is its other end. What comes are events of one call, what goes are calls that
// follow each other. Neither end keeps more than a window of bytes: a slow
// reader slows its own stream and nothing else, and all streams end with the
// conversation.
//
// What a server sends is not trusted: a message has at most [MaxSize] bytes and
// is at most [MaxDepth] levels deep, and every string in it goes through [Clean]
// before anything else at the desk sees it.
//
// If a message cannot be understood, the connection fails ([*ClosedError]) and
// nothing is guessed: for a request that changes a server, the caller then knows
// only that its state is to be looked up over a new connection.
package protocol
