package sshd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server/sshd"
)

// unit is a Reader that shows files and the units of sshd.
type unit struct {
	files
	show, status string
}

func (u unit) Output(_ context.Context, argv ...string) (string, error) {
	switch {
	case argv[0] == "systemctl" && argv[1] == "show":
		return u.show, nil
	case argv[0] == "systemctl" && argv[1] == "status":
		return u.status, nil
	}
	return "", fmt.Errorf("unknown command %q", argv)
}

const (
	stockShow = `MainPID=133
ExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D $SSHD_OPTS ; ignore_errors=no ; start_time=[n/a] ; pid=133 ; code=(null) ; status=0/0 }
Environment=
Id=ssh.service
LoadState=loaded
ActiveState=active

Listen=[::]:22 (Stream)
Id=ssh.socket
LoadState=loaded
ActiveState=inactive
`
	stockStatus = "* ssh.service - OpenBSD Secure Shell server\n     Main PID: 133 (sshd)\n     CGroup: /system.slice/ssh.service\n             `-133 \"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\"\n"
)

func TestLook(t *testing.T) {
	tests := []struct {
		name                   string
		defaults, show, status string
		want, err              string
	}{
		{name: "stock", want: "[] [] [] [] socket=false"},
		{
			name:     "options in the file and in the process",
			defaults: "# x\nSSHD_OPTS=\"-4 -o PasswordAuthentication=yes -oUsePAM=no -E /log\"\n",
			status:   strings.Replace(stockStatus, "-D", "-D -4 -o PasswordAuthentication=yes -oUsePAM=no", 1),
			want: "[-4 -o PasswordAuthentication=yes -o UsePAM=no] [/etc/default/ssh: SSHD_OPTS: -o passwordauthentication=yes /etc/default/ssh: SSHD_OPTS: -o usepam=no] " +
				"[-4 -o PasswordAuthentication=yes -o UsePAM=no] [running sshd, process 133: -o passwordauthentication=yes running sshd, process 133: -o usepam=no] socket=false",
		},
		{
			name:     "the file and the unit's environment",
			defaults: "SSHD_OPTS=\n",
			show:     strings.Replace(stockShow, "Environment=", "Environment=\"SSHD_OPTS=-o Port=1\"", 1),
			want:     "[] [] [] [] socket=false",
		},
		{
			name: "the unit's environment alone",
			show: strings.Replace(stockShow, "Environment=", "Environment=\"SSHD_OPTS=-o Port=1\"", 1),
			want: "[-o Port=1] [ssh.service: Environment: -o port=1] [] [] socket=false",
		},
		{
			name: "in the unit's own command",
			show: strings.Replace(stockShow, "-D $SSHD_OPTS", "-D -o UsePAM=no $SSHD_OPTS", 1),
			want: "[-o UsePAM=no] [ssh.service: ExecStart: -o usepam=no] [] [] socket=false",
		},
		{
			name: "behind a socket",
			show: strings.Replace(strings.Replace(stockShow, "ActiveState=inactive", "ActiveState=active", 1), "MainPID=133", "MainPID=0", 1),
			want: "[] [] [] [] socket=true [[::]:22]",
		},
		{name: "no such unit", show: strings.Replace(stockShow, "LoadState=loaded", "LoadState=not-found", 1), err: "there is no unit ssh.service"},
		{name: "another program", show: strings.Replace(stockShow, "argv[]=/usr/sbin/sshd", "argv[]=/opt/sshd", 1), err: "and not /usr/sbin/sshd"},
		{name: "a process that is not shown", status: "● ssh.service\n", err: "does not show the command line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := unit{files{}, stockShow, stockStatus}
			if tt.defaults != "" {
				u.files[sshd.DefaultsFile] = tt.defaults
			}
			if tt.show != "" {
				u.show = tt.show
			}
			if tt.status != "" {
				u.status = tt.status
			}
			d, err := sshd.Look(t.Context(), u)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(d.Options, d.Next, d.RunningOptions, d.Running, " socket=", d.SocketActive)
			if d.Listen != nil {
				got += fmt.Sprint(" ", d.Listen)
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestWithoutOverrides(t *testing.T) {
	drop := func(o sshd.Override) bool { return o.Keyword == "passwordauthentication" && o.Value == "yes" }
	for _, tt := range []struct{ have, want string }{
		{"# a\nSSHD_OPTS=\nX=1\n", "# a\nSSHD_OPTS=\nX=1\n"},
		{"SSHD_OPTS=-oPasswordAuthentication=yes\n", "SSHD_OPTS=\"\"\n"},
		{"SSHD_OPTS='-4 -o PasswordAuthentication=yes -o UsePAM=yes'\nX=1\n", "SSHD_OPTS=\"-4 -o UsePAM=yes\"\nX=1\n"},
		{"SSHD_OPTS=\"-o 'PasswordAuthentication yes' -o 'Banner /a b'\"\n", "SSHD_OPTS=\"-o 'Banner /a b'\"\n"},
		{"SSHD_OPTS=\"-o PasswordAuthentication=no\"", "SSHD_OPTS=\"-o PasswordAuthentication=no\""},
	} {
		got, err := sshd.WithoutOverrides(tt.have, drop)
		if err != nil || got != tt.want {
			t.Errorf("%q became %q, %v; want %q", tt.have, got, err, tt.want)
		}
		if again, _ := sshd.WithoutOverrides(got, drop); again != got {
			t.Errorf("%q changes once more, to %q", got, again)
		}
	}
}

func TestEffectiveError(t *testing.T) {
	_, err := sshd.Effective(t.Context(), files{}, nil, nil)
	if err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a sshd that cannot be asked gave %v", err)
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add("port 22\nallowusers a\nallowusers b\n\nbanner\n")
	f.Fuzz(func(t *testing.T, out string) {
		lines := 0
		for _, v := range sshd.ParseSettings(out) {
			lines += len(v)
		}
		if lines > strings.Count(out, "\n")+1 {
			t.Fatalf("%d settings in %q", lines, out)
		}
	})
}
