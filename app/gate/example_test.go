package gate_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-security/holdfast/app/gate"
)

func Example() {
	hashing := gate.Gate{Memory: 64 << 20, Slots: 1, Queue: -1}
	hash := gate.Weight{Memory: 19 << 20, Lanes: 1}

	err := hashing.Do(context.Background(), hash, func() error {
		// While this one runs, a second finds no room.
		second := hashing.Do(context.Background(), hash, func() error { return nil })
		fmt.Println("second:", second)
		fmt.Println("503, Retry-After:", hashing.RetryAfter(), errors.Is(second, gate.ErrBusy))
		return nil
	})
	fmt.Println("first:", err)
	// Output:
	// second: busy: no room in the gate
	// 503, Retry-After: 1s true
	// first: <nil>
}

func ExampleGate_Check() {
	var hashing gate.Gate
	// Argon2id with 2 GiB, the first choice of RFC 9106.
	fmt.Println(hashing.Check(gate.Weight{Memory: 2 << 30, Lanes: 4}))
	// Output: a job of 2147483648 bytes of memory, a gate of 268435456: larger than the gate
}
