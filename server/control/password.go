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
	"github.com/holdfast-security/holdfast/server/pam"
	"github.com/holdfast-security/holdfast/server/resource"
)

// Passwords is section 3.4, "Securing Passwords".
func Passwords() []server.Control {
	return []server.Control{{
		ID:       "password-quality",
		Guide:    "3.4",
		Title:    "New passwords are checked and well hashed",
		Why:      "A password that is in a dictionary is found by trying, and a weak hash gives away even a good one.",
		Severity: server.High,
		References: slices.Concat(
			cis("5.3.1.3", "5.3.1.3"), stig("UBTU-24-100600"), // installed
			cis("5.3.2.3", "5.3.2.3"),                             // enabled in PAM
			cis("5.3.3.2.1", "5.3.3.2.1"), stig("UBTU-24-400290"), // changed characters
			cis("5.3.3.2.2", "5.3.3.2.2"), stig("UBTU-24-400320"), anssi("R31"), anssi("R68"), // length
			cis("5.3.3.2.3", "5.3.3.2.3"), stig("UBTU-24-400260"), stig("UBTU-24-400270"), // composition
			stig("UBTU-24-400280"), stig("UBTU-24-400330"),
			cis("5.3.3.2.6", "5.3.3.2.6"), stig("UBTU-24-300014"), // dictionary
			cis("5.3.3.2.7", "5.3.3.2.7"), stig("UBTU-24-300016"), // enforced
			cis("5.3.3.2.8", "5.3.3.2.8"),                     // for root too
			cis("5.3.3.4.3", "5.3.3.4.3"),                     // hash in PAM
			cis("5.4.1.4", "5.4.1.4"), stig("UBTU-24-400400"), // hash in login.defs
			nist("IA-5(c)", "IA-5(1)(a)", "IA-5(1)(b)", "IA-5(1)(c)", "IA-5(4)", "CM-6(a)"),
		),
		LocksOut: true,
		Wants:    wantQuality,
		Proofs: func(server.Config) []server.Proof {
			return []server.Proof{passwordStack, realPasswords}
		},
	}}
}

const (
	qualityMain  = "/etc/security/pwquality.conf"
	qualityDir   = "/etc/security/pwquality.conf.d"
	qualityOwn   = qualityDir + "/50-holdfast.conf"
	passwordFile = "/etc/pam.d/common-password"
	loginDefs    = "/etc/login.defs"
	// qualityProfile is the profile of the package libpam-pwquality. A second
	// one of ours would run the check twice.
	qualityProfile = "/usr/share/pam-configs/pwquality"
	qualityModule  = "pam_pwquality.so"
)

// qualityPackages are the check, and what its dictionary is made from: without
// a dictionary it refuses every password.
var qualityPackages = []string{"libpam-pwquality", "cracklib-runtime", "wamerican"}

func wantQuality(ctx context.Context, r server.Reader, c server.Config) ([]server.Resource, error) {
	var all []server.Resource
	for _, name := range qualityPackages {
		all = append(all, resource.Package{Package: name})
	}
	demands, files, err := wantSettings(ctx, r, c)
	if err != nil {
		return nil, err
	}
	all = append(all, files...)
	stack, err := wantStack(ctx, r, demands)
	if err != nil {
		return nil, err
	}
	return append(all, stack...), nil
}

// wantSettings returns the demands for this machine and the files that make
// them count. The library reads the files of the directory in order and the
// main file last; a later value replaces an earlier one.
func wantSettings(ctx context.Context, r server.Reader, c server.Config) ([]demand, []server.Resource, error) {
	names, err := r.Glob(ctx, qualityDir+"/*.conf")
	if err != nil {
		return nil, nil, err
	}
	names = append(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == qualityOwn }), qualityMain)
	foreign := map[string]server.Entry{}
	var own []qualitySetting
	for _, name := range names {
		e, err := r.Read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		foreign[name] = e
		own = append(own, settingsOf(e.Content)...)
	}
	demands := strictest(demandsOf(c.Passwords), own)
	all := []server.Resource{
		resource.Dir{Path: qualityDir, Mode: 0o755},
		resource.File{Path: qualityOwn, Mode: 0o644, Content: qualityFile(demands)},
	}
	for _, name := range names {
		e, found := foreign[name]
		if !found || name < qualityOwn && name != qualityMain {
			continue // read before ours
		}
		if content := withoutWeak(demands, e.Content); content != e.Content {
			all = append(all, edited(name, e, content))
		}
	}
	return demands, all, nil
}

// edited is a file with other content and everything else as it is.
func edited(name string, e server.Entry, content string, test ...string) resource.File {
	return resource.File{
		Path: name, Mode: e.Mode & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky),
		Owner: e.Owner, Group: e.Group, Content: content, Test: test,
	}
}

// wantStack returns what makes PAM ask the check: edits that take out what
// stands in its way, and the package's profile if it is not asked yet.
func wantStack(ctx context.Context, r server.Reader, demands []demand) ([]server.Resource, error) {
	e, err := r.Read(ctx, passwordFile)
	if err != nil {
		return nil, err
	}
	f := pam.Parse(e.Content)
	if err := mendStack(ctx, r, f, demands); err != nil {
		return nil, err
	}
	_, err = r.Read(ctx, qualityProfile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []server.Resource
	// Installing the package enables the profile, if nobody has edited the files.
	if err == nil && checks(f) == nil {
		merges, err := mergeable(ctx, r, map[string]string{passwordFile: f.String()})
		if err != nil {
			return nil, err
		}
		if merges {
			all = append(all, resource.PAM{Profile: path.Base(qualityProfile)})
		} else {
			f = withCheck(f)
		}
	}
	if f.String() != e.Content {
		all = append([]server.Resource{edited(passwordFile, e, f.String())}, all...)
	}
	return wantHash(ctx, r, f, all)
}

// withCheck puts the check into a stack that pam-auth-update leaves alone, as
// the package's profile would: pam_unix then stores what was checked.
func withCheck(f pam.File) pam.File {
	f = f.First(pam.Line{Type: "password", Control: "requisite", Module: qualityModule, Args: []string{"retry=3"}})
	for _, p := range f.Stack("password") {
		if path.Base(p.Module) == "pam_unix.so" && !p.Has("use_authtok") {
			line := p.Line
			line.Args = append([]string{"use_authtok"}, p.Args...)
			f.Replace(p, line)
		}
	}
	return f
}

// checks returns the line that lets the check refuse a password before it is
// stored, nil if there is none.
func checks(f pam.File) *pam.Line {
	for _, p := range f.Stack("password") {
		switch {
		case path.Base(p.Module) == qualityModule && p.Refuses():
			return &p.Line
		case path.Base(p.Module) == "pam_unix.so":
			return nil
		}
	}
	return nil
}

// mendStack edits the password stack: lines whose module is not there, as the
// guide's own pam_cracklib.so is not any more, refuse every change of a
// password; arguments win over all files; and a module that is told to use the
// password that an earlier one asked for needs such an earlier one.
func mendStack(ctx context.Context, r server.Reader, f pam.File, demands []demand) error {
	for _, p := range f.Stack("password") {
		if p.Optional {
			continue
		}
		there, err := installed(ctx, r, p.Module)
		if err != nil {
			return err
		}
		if !there && path.Base(p.Module) != qualityModule {
			f.Drop(p)
		}
	}
	asked := false
	for _, p := range f.Stack("password") {
		line := p.Line
		line.Args = slices.Clone(p.Args)
		switch path.Base(p.Module) {
		case qualityModule:
			line.Args = slices.DeleteFunc(line.Args, func(arg string) bool {
				s, ok := readSetting(arg)
				return ok && tooWeak(demands, s)
			})
			if !line.Refuses() {
				line.Control = "requisite"
			}
		case "pam_unix.so":
			line.Args = slices.DeleteFunc(line.Args, func(arg string) bool {
				return slices.Contains(otherHashes, arg) || arg == "use_authtok" && !asked
			})
			if !line.Has(strongHash) {
				line.Args = append(line.Args, strongHash)
			}
		}
		if !slices.Equal(line.Args, p.Args) || line.Control != p.Control {
			f.Replace(p, line)
		}
		asked = true
	}
	return nil
}

const strongHash = "yescrypt"

// otherHashes are the other ways in which pam_unix can be told to store a
// password.
var otherHashes = []string{"md5", "bigcrypt", "sha256", "sha512", "blowfish", "gost_yescrypt"}

// installed reports whether a PAM module is there.
func installed(ctx context.Context, r server.Reader, module string) (bool, error) {
	patterns := []string{"/usr/lib/*/security/" + module, "/usr/lib/security/" + module, "/lib/*/security/" + module, "/lib/security/" + module}
	if path.IsAbs(module) {
		patterns = []string{module}
	}
	for _, p := range patterns {
		found, err := r.Glob(ctx, p)
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	return false, nil
}

// wantHash adds what programs that do not ask PAM need to hash as well as it
// does. SHA-512 is left alone: it is weaker than yescrypt but not weak.
func wantHash(ctx context.Context, r server.Reader, _ pam.File, all []server.Resource) ([]server.Resource, error) {
	e, err := r.Read(ctx, loginDefs)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if content := withStrongHash(e.Content); content != e.Content {
		all = append(all, edited(loginDefs, e, content))
	}
	return all, nil
}

// withStrongHash edits a login.defs that names a weak hash.
func withStrongHash(content string) string {
	var b strings.Builder
	for line := range strings.Lines(content) {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == "ENCRYPT_METHOD" && slices.Contains([]string{"DES", "MD5", "SHA256"}, f[1]) {
			line = "ENCRYPT_METHOD YESCRYPT\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// passwordStack is that PAM asks the check before it stores a password.
var passwordStack = server.Proof{
	What: "PAM asks the check before it stores a password",
	Ask: func(ctx context.Context, r server.Reader, _ server.Config) (server.Answer, error) {
		a := server.Answer{Command: "grep -v '^#' " + passwordFile}
		e, err := r.Read(ctx, passwordFile)
		if err != nil {
			return a, err
		}
		f := pam.Parse(e.Content)
		var said []string
		broken := ""
		for _, p := range f.Stack("password") {
			said = append(said, strings.ReplaceAll(p.String(), "\t", " "))
			there, err := installed(ctx, r, p.Module)
			if err != nil {
				return a, err
			}
			if !there && !p.Optional {
				broken = p.Module
			}
		}
		a.Evidence = strings.Join(said, "\n")
		if broken != "" {
			a.Evidence = fmt.Sprintf("the module %s is not installed, so no password can be changed\n%s", broken, a.Evidence)
			return a, nil
		}
		a.Holds = checks(f) != nil
		return a, nil
	},
}
