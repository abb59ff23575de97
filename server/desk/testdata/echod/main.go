// Command echod stands in for the daemon in the tests of package desk: it speaks
// the protocol and can be told to misbehave.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/holdfast-security/holdfast/server/protocol"
)

func main() {
	if len(os.Args) != 2 || os.Args[1] != "serve" {
		fmt.Fprintln(os.Stderr, "usage: echod serve")
		os.Exit(64)
	}
	in := struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}
	err := protocol.Serve(context.Background(), in, map[protocol.Op]protocol.Handler{
		protocol.OpHello: protocol.Handle(func(_ context.Context, h protocol.Hello, _ func(protocol.Event) error) (protocol.Welcome, error) {
			fmt.Fprintln(os.Stderr, "a line of log")
			return protocol.Welcome{Format: protocol.Format, Version: h.Version, Facts: protocol.Facts{System: fmt.Sprintf("uid %d pid %d", os.Getuid(), os.Getpid())}}, nil
		}),
		protocol.OpShow: protocol.Handle(func(_ context.Context, r protocol.TransactionRequest, _ func(protocol.Event) error) (protocol.TransactionDetail, error) {
			return protocol.TransactionDetail{Transaction: protocol.Transaction{ID: r.Transaction, Reason: strings.Repeat("x", 1<<20)}}, nil
		}),
		protocol.OpUnlock: func(context.Context, protocol.Request) (any, error) {
			fmt.Fprintln(os.Stderr, "dying as told \x1b[31m")
			os.Exit(3)
			return nil, nil
		},
		protocol.OpStatus: func(ctx context.Context, _ protocol.Request) (any, error) {
			<-ctx.Done()
			return nil, errors.New("was told to stop")
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "echod:", err)
		os.Exit(1)
	}
}
