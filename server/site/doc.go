// Package site reads and writes the site file: everything one operator looks
// after, in one file that people edit, holdfast.yaml, and the secrets that
// belong to it, encrypted, in secrets.age beside it.
//
// [Load] reads a site file. It is strict, because a misspelled key in a file
// about security is a protection that is not there: unknown keys, wrong types,
// names that a server would not accept, keys that do not parse, jumps that lead
// nowhere. All problems are found in one pass and come as [*Problems], each with
// its line and with what to write instead. [Site.Config] is then the part of the
// site that one server is told.
//
// The types in site.go are the one home of what the file may hold: the strict
// decoder reads their tags, and [Schema] makes a JSON Schema of them, with their
// comments as descriptions.
//
// A private key where a public one belongs is refused, whatever its format, and
// no error of this package repeats what stands in the place of a key or of a
// secret. [OpenSecrets] gives secrets as [server.Secret], which cannot be
// printed.
//
// [New] makes a first site file from [Answers], [FindKeys] and [MakeKey] find
// and make the keys for it; asking in a terminal is package site/ask.
//
// If reading fails, there is no site: a file with one problem is refused as a
// whole, and a secrets file that cannot be opened is an error, never an empty
// set. Only a secrets file that does not exist is empty.
package site
