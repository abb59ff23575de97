package protocol

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/forecast"
)

// An end is one end of a pair of pipes.
type end struct {
	io.Reader
	io.WriteCloser
	other io.Closer
}

func (e end) Close() error {
	e.other.Close()
	return e.WriteCloser.Close()
}

func pair() (desk, daemon end) {
	r1, w1 := io.Pipe()
	r2, w2 := io.Pipe()
	return end{r1, w2, r1}, end{r2, w1, r2}
}

// start serves handlers and returns the client and what Serve will return.
func start(t *testing.T, handlers map[Op]Handler) (*Client, <-chan error) {
	t.Helper()
	desk, daemon := pair()
	served := make(chan error, 1)
	go func() {
		served <- Serve(t.Context(), daemon, handlers)
		daemon.Close()
	}()
	c := NewClient(desk)
	t.Cleanup(func() { c.Close() })
	return c, served
}

func TestCall(t *testing.T) {
	want := Plan{
		Digest: "d", Steps: []PlanStep{{Controls: []string{"a"}, Resource: "file /x", Before: "", After: "1\n", Diff: "+1", LocksOut: true}},
		Errors: map[string]string{"b": "no"}, After: []forecast.Access{{Account: "ada", Kind: forecast.Admin}},
	}
	c, served := start(t, map[Op]Handler{
		OpPlan: Handle(func(_ context.Context, in PlanRequest, send func(Event) error) (Plan, error) {
			if in.Config.Server != "app-1" {
				return Plan{}, fmt.Errorf("asked for %q", in.Config.Server)
			}
			for i := range 40 {
				if err := send(Event{Step: i, Steps: 40}); err != nil {
					return Plan{}, err
				}
			}
			return want, nil
		}),
		OpHello: func(context.Context, Request) (any, error) { return nil, nil },
	})
	var got Plan
	next := 0
	err := c.Call(t.Context(), OpPlan, PlanRequest{Config: server.Config{Server: "app-1"}}, &got, func(e Event) {
		if e.Step != next || e.Steps != 40 {
			t.Errorf("event %+v, want step %d", e, next)
		}
		next++
	})
	if err != nil {
		t.Fatal(err)
	}
	if next != 40 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d events and %+v, want 40 and %+v", next, got, want)
	}
	if err := c.Call(t.Context(), OpHello, nil, nil, nil); err != nil {
		t.Errorf("a result that is null: %v", err)
	}
	c.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve after the desk has closed: %v", err)
	}
	var closed *ClosedError
	if err := c.Call(t.Context(), OpHello, nil, nil, nil); !errors.As(err, &closed) {
		t.Errorf("Call after Close: %v, want a ClosedError", err)
	}
}

// Calls in flight do not wait for each other.
func TestCallsTogether(t *testing.T) {
	release := make(chan struct{})
	c, _ := start(t, map[Op]Handler{
		OpAudit: func(context.Context, Request) (any, error) { <-release; return AuditResult{}, nil },
		OpHello: func(context.Context, Request) (any, error) { return Welcome{Version: "1"}, nil },
	})
	slow := make(chan error, 1)
	go func() { slow <- c.Call(t.Context(), OpAudit, AuditRequest{}, nil, nil) }()
	var w Welcome
	if err := c.Call(t.Context(), OpHello, Hello{}, &w, nil); err != nil || w.Version != "1" {
		t.Fatalf("%+v, %v", w, err)
	}
	close(release)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

// Secrets arrive, and nothing prints or marshals them on the way.
func TestSecrets(t *testing.T) {
	const password = "correct horse"
	got := make(chan ApplyRequest, 1)
	c, _ := start(t, map[Op]Handler{
		OpApply: Handle(func(_ context.Context, in ApplyRequest, _ func(Event) error) (Transaction, error) {
			got <- in
			return Transaction{ID: "t"}, nil
		}),
	})
	in := ApplyRequest{Digest: "d", Carried: Carried{Secrets: map[string]server.Secret{"password/ada": server.NewSecret(password)}}}
	if err := c.Call(t.Context(), OpApply, in, nil, nil); err != nil {
		t.Fatal(err)
	}
	arrived := <-got
	if s := arrived.Secrets["password/ada"].Reveal(); s != password {
		t.Errorf("the secret arrived as %q", s)
	}
	marshaled, err := json.Marshal(arrived)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v", in, arrived, arrived), string(marshaled)} {
		if strings.Contains(shown, password) {
			t.Errorf("the secret shows in %s", shown)
		}
	}
}

func TestErrors(t *testing.T) {
	answers := map[Op]error{
		OpAudit:   errors.New("no such thing"),
		OpApply:   errors.New("half way"),
		OpPlan:    fmt.Errorf("planning: %w", &server.DriftError{Resource: "file /x"}),
		OpUndo:    &server.NeedsSecretError{Secret: "password/ada"},
		OpConfirm: fmt.Errorf("confirming: %w", &Error{Code: CodeTooLate, State: Undone, Message: "too late", Subject: "rolled-back"}),
	}
	handlers := map[Op]Handler{
		OpHistory: func(context.Context, Request) (any, error) { return strings.Repeat("x", MaxSize), nil },
		OpExtend:  func(context.Context, Request) (any, error) { return strings.Repeat("x", MaxSize), nil },
		OpShow: Handle(func(context.Context, TransactionRequest, func(Event) error) (TransactionDetail, error) {
			return TransactionDetail{}, nil
		}),
	}
	for op, err := range answers {
		handlers[op] = func(context.Context, Request) (any, error) { return nil, err }
	}
	c, _ := start(t, handlers)
	tests := []struct {
		op   Op
		in   any
		want Error
	}{
		{OpAudit, nil, Error{Code: CodeFailed, State: Unchanged, Message: "no such thing"}},
		{OpApply, nil, Error{Code: CodeFailed, State: Unsure, Message: "half way"}},
		{OpPlan, nil, Error{Code: CodeDrift, State: Unchanged, Subject: "file /x", Message: "planning: file /x was changed by something else"}},
		{OpUndo, nil, Error{Code: CodeNeedsSecret, State: Unsure, Subject: "password/ada", Message: `the secret "password/ada" is needed and was not given`}},
		{OpConfirm, nil, Error{Code: CodeTooLate, State: Undone, Subject: "rolled-back", Message: "confirming: too late"}},
		{"dance", nil, Error{Code: CodeUnknownOp, State: Unchanged, Message: `there is no operation "dance"`}},
		{OpHistory, nil, Error{Code: CodeTooLarge, State: Unchanged, Message: "a message has more than 8388608 bytes"}},
		{OpExtend, nil, Error{Code: CodeTooLarge, State: Unsure, Message: "a message has more than 8388608 bytes"}},
		{OpShow, map[string]int{"speed": 1}, Error{Code: CodeMalformed, State: Unchanged, Message: `the body of "show" is not what it should be: json: unknown field "speed"`}},
	}
	for _, tt := range tests {
		t.Run(string(tt.op), func(t *testing.T) {
			err := c.Call(t.Context(), tt.op, tt.in, nil, nil)
			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want an Error", err)
			}
			if *got != tt.want {
				t.Errorf("got %+v\nwant %+v", *got, tt.want)
			}
		})
	}
	var size *SizeError
	if err := c.Call(t.Context(), OpShow, strings.Repeat("x", MaxSize), nil, nil); !errors.As(err, &size) {
		t.Errorf("sending too much: %v, want a SizeError", err)
	}
	if err := c.Call(t.Context(), OpShow, nil, nil, nil); err != nil {
		t.Errorf("the connection after these errors: %v", err)
	}
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := start(t, map[Op]Handler{
			OpAudit: func(ctx context.Context, _ Request) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
			OpApply: func(ctx context.Context, _ Request) (any, error) {
				<-ctx.Done()
				return Transaction{State: "applied"}, nil
			},
			OpPlan: func(ctx context.Context, _ Request) (any, error) {
				<-ctx.Done()
				time.Sleep(cancelGrace + time.Second) // deaf to it
				return nil, nil
			},
		})
		canceled := func(op Op, out any) error {
			ctx, stop := context.WithTimeout(t.Context(), time.Second)
			defer stop()
			return c.Call(ctx, op, nil, out, nil)
		}
		var e *Error
		if err := canceled(OpAudit, nil); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) || e.Code != CodeCanceled {
			t.Errorf("cancelled: %v", err)
		}
		var txn Transaction
		if err := canceled(OpApply, &txn); err != nil || txn.State != "applied" {
			t.Errorf("cancelled too late: %+v, %v", txn, err)
		}
		if err := canceled(OpPlan, nil); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) {
			t.Errorf("cancelled without a last word: %v", err)
		}
		time.Sleep(2 * time.Second) // lets the late answer come, which nobody waits for
		if err := canceled(OpAudit, nil); !errors.As(err, &e) {
			t.Errorf("after a late answer: %v", err)
		}
		c.Close()
		synctest.Wait()
	})
}

// A desk that goes away ends what it asked for.
func TestDeskGone(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	c, served := start(t, map[Op]Handler{
		OpAudit: func(ctx context.Context, _ Request) (any, error) {
			close(began)
			<-ctx.Done()
			close(ended)
			return nil, ctx.Err()
		},
	})
	failed := make(chan error, 1)
	go func() { failed <- c.Call(t.Context(), OpAudit, nil, nil, nil) }()
	<-began
	c.Close()
	<-ended
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	var closed *ClosedError
	if err := <-failed; !errors.As(err, &closed) {
		t.Errorf("Call: %v, want a ClosedError", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	desk, daemon := pair()
	defer desk.Close()
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("shutting down")
	stop(why)
	if err := Serve(ctx, daemon, nil); !errors.Is(err, why) {
		t.Errorf("Serve: %v, want %v", err, why)
	}
}

func TestTooMany(t *testing.T) {
	release := make(chan struct{})
	began := make(chan struct{})
	c, _ := start(t, map[Op]Handler{OpAudit: func(context.Context, Request) (any, error) {
		began <- struct{}{}
		<-release
		return nil, nil
	}})
	done := make(chan error)
	for range maxInFlight {
		go func() { done <- c.Call(t.Context(), OpAudit, nil, nil, nil) }()
		<-began
	}
	var e *Error
	if err := c.Call(t.Context(), OpAudit, nil, nil, nil); !errors.As(err, &e) || e.Code != CodeBusy {
		t.Errorf("one too many: %v", err)
	}
	close(release)
	for range maxInFlight {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// What a daemon answers to messages that no desk of this version sends.
func TestServeRefuses(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+1)
	tests := []struct {
		name, line string
		code       Code
		id         uint64
		lives      bool // the connection
	}{
		{"newer format", `{"format":2,"id":3,"op":"hello","style":"new"}`, CodeFormat, 3, true},
		{"no format", `{"id":3,"op":"hello"}`, CodeFormat, 3, true},
		{"no ID", `{"format":1,"op":"hello"}`, CodeMalformed, 0, true},
		{"garbage", `hello?`, CodeMalformed, 0, false},
		{"unknown field", `{"format":1,"id":3,"op":"hello","force":true}`, CodeMalformed, 0, false},
		{"wrong type", `{"format":1,"id":"3"}`, CodeMalformed, 0, false},
		{"two on a line", `{"format":1,"id":3,"op":"hello"} {}`, CodeMalformed, 0, false},
		{"too deep", `{"format":1,"id":3,"op":"hello","body":` + deep, CodeTooLarge, 0, false},
		{"too long", `{"format":1,"id":3,"op":"` + strings.Repeat("x", MaxSize), CodeTooLarge, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			desk, daemon := pair()
			defer desk.Close()
			served := make(chan error, 1)
			go func() {
				served <- Serve(t.Context(), daemon, map[Op]Handler{
					OpHello: func(context.Context, Request) (any, error) { return "hello", nil },
				})
				daemon.Close()
			}()
			go io.WriteString(desk, tt.line+"\n")
			lines := bufio.NewReader(desk)
			line, err := readLine(lines)
			if err != nil {
				t.Fatal(err)
			}
			m, err := decodeForeign(line)
			if err != nil || m.Error == nil || m.Error.Code != tt.code || m.ID != tt.id || m.Error.State != Unchanged {
				t.Fatalf("answer %s, %v", line, err)
			}
			if !tt.lives {
				if err := <-served; err == nil {
					t.Error("Serve: no error")
				}
				return
			}
			go io.WriteString(desk, `{"format":1,"id":9,"op":"hello"}`+"\n")
			if line, err := readLine(lines); err != nil || !bytes.Contains(line, []byte(`"result":"hello"`)) {
				t.Errorf("then: %s, %v", line, err)
			}
		})
	}
}

// What a desk makes of servers that are broken or mean harm.
func TestClientRefuses(t *testing.T) {
	tests := []struct{ name, answer, want string }{
		{"garbage", "Welcome to Ubuntu!\n", "not JSON"},
		{"nothing", "", "EOF"},
		{"cut off", `{"format":1,"id":1,"resu`, "unexpected EOF"},
		{"empty line", "\n", "not JSON"},
		{"no answer", `{"format":1,"id":1}` + "\n", "answers nothing"},
		{"newer format", `{"format":2,"id":1,"result":{}}` + "\n", "format 2"},
		{"its own words", `{"format":1,"id":0,"error":{"code":"malformed","message":"what?","state":"unchanged"}}` + "\n", "what?"},
		{"too deep", strings.Repeat(`[`, MaxDepth+1) + "\n", "more than 64 levels"},
		{"wrong type", `{"format":1,"id":1,"result":[]}` + "\n", "decoding the result"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			desk, daemon := pair()
			c := NewClient(desk)
			defer c.Close()
			go func() {
				if _, err := readLine(bufio.NewReader(daemon)); err != nil {
					t.Error(err)
				}
				io.WriteString(daemon, tt.answer)
				daemon.Close()
			}()
			var w Welcome
			err := c.Call(t.Context(), OpHello, Hello{}, &w, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Call: %v, want … %s …", err, tt.want)
			}
		})
	}
	t.Run("endless", func(t *testing.T) {
		desk, daemon := pair()
		c := NewClient(desk)
		defer c.Close()
		go func() {
			readLine(bufio.NewReader(daemon))
			junk := bytes.Repeat([]byte("x"), 64<<10)
			for {
				if _, err := daemon.Write(junk); err != nil {
					return // the desk has hung up
				}
			}
		}()
		var size *SizeError
		if err := c.Call(t.Context(), OpHello, Hello{}, nil, nil); !errors.As(err, &size) {
			t.Errorf("Call: %v, want a SizeError", err)
		}
	})
}

func TestClientCleans(t *testing.T) {
	c, _ := start(t, map[Op]Handler{OpPlan: func(context.Context, Request) (any, error) {
		return Plan{
			Digest: "a\x1b[2Jb",
			Notes:  []string{"one\ntwo\t\r\x07three"},
			Errors: map[string]string{"k\x1b]0;title\x07": "\u009b31mred"},
			After:  []forecast.Access{{Account: "\x1b[31mada\u202e"}},
		}, nil
	}})
	want := Plan{
		Digest: "ab", Notes: []string{"one\ntwo\tthree"}, Errors: map[string]string{"k": "red"},
		After: []forecast.Access{{Account: "ada"}},
	}
	var got Plan
	if err := c.Call(t.Context(), OpPlan, nil, &got, nil); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}
