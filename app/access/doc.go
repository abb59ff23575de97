// Package access decides who may do what (guide 4.7; OWASP ASVS 5.0, 8.2.1 to 8.3.2).
//
//	policy, err := access.New(
//		[]access.Permission{"todo.read", "todo.write", "user.find"},
//		map[access.Role]access.Rights{
//			"user":    {Own: []access.Permission{"todo.read", "todo.write"}},
//			"support": {All: []access.Permission{"user.find"}},
//		})
//
//	who, err := access.Identify(ctx, store, sess) // a session.Session
//	if err := policy.Check(who, "todo.write", access.Object{Owner: todo.Owner}); err != nil {
//		// 403, or 404 if the person must not learn that it exists
//	}
//
// What is not granted is denied: an unknown role grants nothing, an undeclared
// permission is never granted, nobody owns what has no owner, and the zero [Policy]
// and the zero [Identity] are denied everything. A role is not above another one: an
// administrator may do what the role administrator says, and no more.
//
// The acting person is an [Identity], made from what has been verified: a session or
// a token. No function makes one from a name, so none that a form or a path carries
// can become one; the owner in an [Object] is what the store says of it.
//
// Roles kept in a store are read with each request, and a change of them ends the
// person's sessions: both a new right and one that is taken away act at once. Roles
// in a token act until it expires.
//
// If the roles cannot be read, Identify fails and returns nobody.
package access
