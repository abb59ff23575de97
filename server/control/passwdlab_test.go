package control_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/holdfast-security/holdfast/server/lab"
	"github.com/holdfast-security/holdfast/server/lab/labtest"
)

// A person at a terminal, as a user and as root, on a server with the rules.
func TestPasswdAtATerminal(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take minutes")
	}
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			s := labtest.Server(t, suite)
			copyBinary(t, s)
			const old = "Zq7!vowelkbrt-a"
			shell(t, s, "useradd -m -s /bin/bash anna; echo 'anna:"+old+"' | chpasswd")
			j := job{Do: "apply", Controls: []string{"password-quality"}, Config: accountsConfig}
			if left := inServer(t, s, j).Left; len(left) > 0 {
				t.Fatal(left)
			}
			user := []string{"runuser", "-u", "anna", "--", "passwd"}
			root := []string{"passwd", "anna"}
			tests := []struct {
				name, new string
				argv      []string
				says      string
			}{
				{"short, as a user", "aB3!xkqv", user, "shorter than 10"},
				{"too much like the old one, as a user", "Zq7!vowelkbrt-b", user, "BAD PASSWORD"},
				{"a word, as a user", "Uncharacteristically1!", user, "dictionary"},
				{"the user's name, as root", "Xanna7!zqkvw", root, "user name"},
				{"no digit, as root", "Xkzz!vowelbrtqw", root, "less than 1 digits"},
				{"strong, as a user", "Wd4;mkzv_hrqTx", user, "password updated successfully"},
				{"strong, as root", "Lp8#tqxv,bnwGz", root, "password updated successfully"},
			}
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					before := shell(t, s, "grep ^anna: /etc/shadow")
					answers := []string{tt.new, tt.new}
					if tt.argv[0] == "runuser" {
						answers = append([]string{old}, answers...)
					}
					said := atTerminal(t, s, tt.argv, answers)
					if !strings.Contains(said, tt.says) {
						t.Errorf("passwd says\n%s", said)
					}
					changed := shell(t, s, "grep ^anna: /etc/shadow") != before
					if want := strings.Contains(tt.says, "successfully"); changed != want {
						t.Errorf("the password was changed: %v\n%s", changed, said)
					}
				})
			}
		})
	}
}

// atTerminal runs argv in a server at a terminal of its own, answers its
// prompts in order and then hangs up. It returns what was on the screen.
func atTerminal(t *testing.T, s *lab.Server, argv, answers []string) string {
	t.Helper()
	cmd, err := s.Command(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	var screen bytes.Buffer
	buffer := make([]byte, 4096)
	for {
		if err := tty.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := tty.Read(buffer)
		screen.Write(buffer[:n])
		if err != nil { // EIO once the program has ended
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("no prompt came after\n%s", screen.String())
			}
			break
		}
		if !strings.HasSuffix(strings.TrimRight(screen.String(), " "), "assword:") {
			continue
		}
		if len(answers) == 0 {
			tty.Write([]byte{4}) // end of file: it asks again after a refusal
			tty.Close()
			break
		}
		if _, err := tty.WriteString(answers[0] + "\n"); err != nil {
			t.Fatal(err)
		}
		answers = answers[1:]
	}
	cmd.Wait() // its status says no more than the screen
	return screen.String()
}
