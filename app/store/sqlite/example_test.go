package sqlite_test

import (
	"fmt"

	"github.com/holdfast-security/holdfast/app/store/sqlite"
)

func ExampleDSN() {
	fmt.Println(sqlite.DSN("/var/lib/todo/all of it?.db"))
	// Output: file:/var/lib/todo/all%20of%20it%3F.db?_pragma=journal_mode%28WAL%29&_pragma=synchronous%28FULL%29&_pragma=foreign_keys%281%29&_pragma=busy_timeout%285000%29&_txlock=immediate
}
