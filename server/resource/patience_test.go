package resource

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/hosttest"
)

func TestPatience(t *testing.T) {
	tests := []struct {
		name  string
		says  string
		times int
		runs  int
		fails bool
	}{
		{"free", "", 0, 1, false},
		{"locked for a while", "useradd: cannot lock /etc/passwd; try again later.\n", 3, 4, false},
		{"locked for good", "userdel: user a is currently used by process 7\n", 1000, 62, true},
		{"something else", "useradd: invalid shell\n", 1, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, runs := hosttest.New(t), 0
				h.Handle("useradd", func(context.Context, *hosttest.Host, string, []string) (string, error) {
					if runs++; runs <= tt.times {
						return "", hosttest.Exit{Status: 1, Output: tt.says}
					}
					return "", nil
				})
				start := time.Now()
				err := run(t.Context(), h, "", "useradd", "a")
				if (err != nil) != tt.fails || runs != tt.runs || time.Since(start) > patience+time.Second {
					t.Errorf("%d runs in %v, %v; want %d", runs, time.Since(start), err, tt.runs)
				}
				if failed := (*server.CommandError)(nil); err != nil && !errors.As(err, &failed) {
					t.Errorf("%v is no *server.CommandError", err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if runs = 0; tt.times > 10 {
					if err := run(ctx, h, "", "useradd", "a"); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("with a deadline: %v", err)
					}
				}
			})
		})
	}
}
