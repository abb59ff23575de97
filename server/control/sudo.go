package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/resource"
	"github.com/holdfast-security/holdfast/server/sshd"
	"github.com/holdfast-security/holdfast/server/sudoers"
)

// Sudo is section 3.5, "Locking Sudo".
func Sudo() []server.Control {
	return []server.Control{{
		ID:       "sudo-asks-password",
		Guide:    "3.5",
		Title:    "Sudo asks everybody for a password",
		Why:      "Whoever gets hold of an admin's session must not be root at once.",
		Severity: server.High,
		References: slices.Concat(
			cis("5.2.1", "5.2.1"), anssi("R33"), // installed
			cis("5.2.2", "5.2.2"), anssi("R39"), // use_pty
			cis("5.2.4", "5.2.4"), stig("UBTU-24-300021"), stig("UBTU-24-300020"), // NOPASSWD
			cis("5.2.5", "5.2.5"), // !authenticate
			cis("5.2.6", "5.2.6"), // timestamp_timeout
			nist("IA-11", "CM-6(a)"),
		),
		LocksOut: true,
		Wants:    wantSudo,
		Proofs: func(server.Config) []server.Proof {
			return []server.Proof{sudoReads, sudoPolicy, sudoRefuses}
		},
	}}
}

const (
	sudoersMain = "/etc/sudoers"
	sudoersDir  = "/etc/sudoers.d"
	// sudoersOwn sorts after what others put there: of two Defaults, and of two
	// rules, sudo obeys the last.
	sudoersOwn = sudoersDir + "/zz-holdfast"
	sudoBinary = "/usr/bin/sudo"
	adminGroup = "sudo"
)

// visudo tests a draft with the tool that is installed, because sudo and
// sudo-rs understand different settings.
var visudo = []string{"/usr/sbin/visudo", "-c", "-f"}

func wantSudo(ctx context.Context, r server.Reader, _ server.Config) ([]server.Resource, error) {
	all := []server.Resource{resource.Package{Package: "sudo"}}
	files, err := readPolicy(ctx, r)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil // the package brings the files
	}
	if err != nil {
		return nil, err
	}
	program, _, err := sshd.ReadThrough(ctx, r, sudoBinary)
	if err != nil {
		return nil, err
	}
	all = append(all, resource.Program{Path: program, Mode: fs.ModeSetuid | 0o755})
	granted := false
	for _, f := range files {
		granted = granted || f.Grants("%"+adminGroup)
		content := f.Tighten()
		if f.path == sudoersMain && !includes(f.File, sudoersDir) {
			content = ended(content) + "@includedir " + sudoersDir + "\n"
		}
		if content != f.Content {
			all = append(all, edited(f.path, f.entry, content, visudo...))
		}
	}
	own, err := ownSudoers(ctx, r, granted)
	if err != nil {
		return nil, err
	}
	return append(all,
		resource.Dir{Path: sudoersDir, Mode: 0o755},
		resource.File{Path: sudoersOwn, Mode: 0o440, Content: own, Test: visudo},
	), nil
}

// ended is content with a line break at its end.
func ended(content string) string {
	if content == "" || strings.HasSuffix(content, "\n") {
		return content
	}
	return content + "\n"
}

// ownSudoers is the content of our file. granted says that another file gives
// the group of admins all commands already.
func ownSudoers(ctx context.Context, r server.Reader, granted bool) (string, error) {
	version, err := r.Output(ctx, sudoBinary, "--version")
	if err != nil {
		return "", err
	}
	content := "# Kept by Holdfast (guide 3.5).\nDefaults use_pty\nDefaults timestamp_timeout=5\n"
	if !strings.HasPrefix(version, "sudo-rs") { // which always asks
		content += "Defaults authenticate\n"
	}
	if !granted {
		content += "%" + adminGroup + " ALL=(ALL:ALL) ALL\n"
	}
	return content, nil
}

// A policyFile is one file of sudo's policy.
type policyFile struct {
	sudoers.File
	path  string
	entry server.Entry
}

func includes(f sudoers.File, dir string) bool {
	return slices.ContainsFunc(f.Includes, func(i sudoers.Include) bool { return i.Dir && path.Clean(i.Path) == dir })
}

// readPolicy returns the main file and all that it reads in, in the order in
// which sudo meets them, without ours. What lies in [sudoersDir] counts even if
// nothing reads it in yet.
func readPolicy(ctx context.Context, r server.Reader) ([]policyFile, error) {
	p := policyReader{ctx: ctx, r: r}
	if err := p.file(sudoersMain, 0); err != nil {
		return nil, err
	}
	if err := p.dir(sudoersDir, 0); err != nil {
		return nil, err
	}
	return p.files, nil
}

type policyReader struct {
	ctx   context.Context
	r     server.Reader
	files []policyFile
}

// maxIncludes is how deep sudo follows includes.
const maxIncludes = 128

func (p *policyReader) file(name string, depth int) error {
	name, e, err := sshd.ReadThrough(p.ctx, p.r, name)
	if err != nil {
		return err
	}
	seen := slices.ContainsFunc(p.files, func(f policyFile) bool { return f.path == name })
	if seen || name == sudoersOwn || !e.Mode.IsRegular() {
		return nil
	}
	f := policyFile{File: sudoers.Parse(e.Content), path: name, entry: e}
	p.files = append(p.files, f)
	if depth == maxIncludes {
		return fmt.Errorf("%s: files of sudo read each other in too deep", name)
	}
	for _, i := range f.Includes {
		target := i.Path
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		if strings.Contains(target, "%h") {
			host, err := p.r.Read(p.ctx, "/etc/hostname")
			if err != nil {
				return err
			}
			short, _, _ := strings.Cut(strings.TrimSpace(host.Content), ".")
			target = strings.ReplaceAll(target, "%h", short)
		}
		read := p.file
		if i.Dir {
			read = p.dir
		}
		// What sudo cannot read in, it passes over.
		if err := read(path.Clean(target), depth+1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (p *policyReader) dir(name string, depth int) error {
	names, err := p.r.Glob(p.ctx, name+"/*")
	if err != nil {
		return err
	}
	for _, n := range names {
		if !sudoers.Read(path.Base(n)) {
			continue
		}
		if err := p.file(n, depth); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
