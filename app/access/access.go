package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// A Permission names something that can be done, for example "todo.write".
type Permission string

// A Role names what a person is, for example "support". It has 1 to [MaxRole]
// bytes.
type Role string

// Bounds of roles.
const (
	MaxRole  = 64 // bytes of a name
	MaxRoles = 32 // roles of one account
)

// Errors of this package.
var (
	// ErrDenied says that the person may not do it.
	ErrDenied = errors.New("permission denied")
	// ErrPolicy says that a policy contradicts itself.
	ErrPolicy = errors.New("unusable policy")
)

// Rights are what a role may do.
type Rights struct {
	Own []Permission // to what the person owns
	All []Permission // to everything, whoever owns it
}

// A Policy says which role may do what. It does not change and may be used by many
// goroutines at a time. The zero value denies everything.
type Policy struct {
	declared map[Permission]bool
	own, all map[grant]bool
}

type grant struct {
	role Role
	do   Permission
}

// New returns a policy. All permissions are declared first: the error wraps
// [ErrPolicy] if a role has one that is not, which is most often a name that was
// mistyped, or if a name is empty, too long or declared twice.
func New(permissions []Permission, roles map[Role]Rights) (*Policy, error) {
	p := &Policy{declared: map[Permission]bool{}, own: map[grant]bool{}, all: map[grant]bool{}}
	for _, do := range permissions {
		if do == "" || p.declared[do] {
			return nil, fmt.Errorf("permission %q is empty or declared twice: %w", do, ErrPolicy)
		}
		p.declared[do] = true
	}
	for role, rights := range roles {
		if err := role.check(); err != nil {
			return nil, err
		}
		for to, list := range map[*map[grant]bool][]Permission{&p.own: rights.Own, &p.all: rights.All} {
			for _, do := range list {
				if !p.declared[do] {
					return nil, fmt.Errorf("role %q has permission %q, which is not declared: %w", role, do, ErrPolicy)
				}
				(*to)[grant{role, do}] = true
			}
		}
	}
	return p, nil
}

func (r Role) check() error {
	if r == "" || len(r) > MaxRole {
		return fmt.Errorf("role %.80q: %w", string(r), ErrPolicy)
	}
	return nil
}

// An Object is what something is done to. The zero value is owned by nobody, such
// as a list of all users.
type Object struct {
	Owner string // key of an account, as the store has it
}

// A DeniedError says who may not do what. It wraps [ErrDenied], and is for the
// program's own log.
type DeniedError struct {
	Account string // key, empty for nobody
	Do      Permission
}

// Error is of error.
func (e *DeniedError) Error() string { return fmt.Sprintf("%s: %v", e.Do, ErrDenied) }

// Unwrap returns [ErrDenied].
func (e *DeniedError) Unwrap() error { return ErrDenied }

// Check returns nil if the person may do this to the object, or a [DeniedError].
func (p *Policy) Check(who Identity, do Permission, to Object) error {
	if p != nil && who.account != "" && p.declared[do] {
		owner := to.Owner != "" && to.Owner == who.account
		for _, role := range who.roles {
			if p.all[grant{role, do}] || owner && p.own[grant{role, do}] {
				return nil
			}
		}
	}
	return &DeniedError{Account: who.account, Do: do}
}

// Require lets only those pass who may do this to everything. who finds the person,
// for example by session.Of and [Identify]. A person who may not gets 403; if who
// fails otherwise than by [ErrNobody], the answer is 503. What is for owners is
// checked where the object is known.
func (p *Policy) Require(do Permission, who func(*http.Request) (Identity, error)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, err := who(r)
			status := http.StatusServiceUnavailable
			if err == nil || errors.Is(err, ErrNobody) {
				status = http.StatusForbidden
				if err == nil && p.Check(id, do, Object{}) == nil {
					next.ServeHTTP(w, r)
					return
				}
			}
			http.Error(w, http.StatusText(status), status)
		})
	}
}

// ErrNobody says that nobody has been verified.
var ErrNobody = errors.New("nobody has been verified")

// An Identity is the person who acts. Its fields cannot be set from outside; the
// zero value is nobody.
type Identity struct {
	account string
	roles   []Role
}

// Account returns the key of the account, or "" for nobody.
func (i Identity) Account() string { return i.account }

// Roles returns a copy of the roles.
func (i Identity) Roles() []Role { return slices.Clone(i.roles) }

// Verified is what has been verified to speak for an account: a session.Session, or
// the claims of a token whose signature, issuer, audience and times were checked.
type Verified interface {
	// Account returns the key of the account, or "" for nobody.
	Account() string
}

// A Directory keeps the roles of accounts. Implementations are in app/store.
type Directory interface {
	// Roles returns the roles of an account in any order, none if there is no
	// such account.
	Roles(ctx context.Context, account string) ([]Role, error)
	// SetRoles replaces the roles of an account and increases its epoch, which ends
	// its sessions, in one step. The error wraps login.ErrNoAccount if there is no
	// such account.
	SetRoles(ctx context.Context, account string, roles []Role) error
}

// CheckRoles returns an error wrapping [ErrPolicy] if these cannot be the roles of
// an account: an empty or too long name, one name twice, too many.
func CheckRoles(roles []Role) error {
	if len(roles) > MaxRoles {
		return fmt.Errorf("%d roles, the limit is %d: %w", len(roles), MaxRoles, ErrPolicy)
	}
	for i, r := range roles {
		if err := r.check(); err != nil {
			return err
		}
		if slices.Contains(roles[:i], r) {
			return fmt.Errorf("role %q twice: %w", string(r), ErrPolicy)
		}
	}
	return nil
}

// Identify returns the person behind a session, with the roles that the directory
// has for them now. The error wraps [ErrNobody] if there is none.
func Identify(ctx context.Context, d Directory, v Verified) (Identity, error) {
	if v == nil || v.Account() == "" {
		return Identity{}, ErrNobody
	}
	roles, err := d.Roles(ctx, v.Account())
	if err != nil {
		return Identity{}, fmt.Errorf("reading roles: %w", err)
	}
	return Identity{account: v.Account(), roles: slices.Clone(roles)}, nil
}

// A Bearer is a verified token, which carries the roles itself.
type Bearer interface {
	Verified
	// Roles returns the roles that the issuer has signed.
	Roles() []Role
}

// IdentifyBearer returns the person behind a verified token. The error wraps
// [ErrNobody] if there is none.
func IdentifyBearer(b Bearer) (Identity, error) {
	if b == nil || b.Account() == "" {
		return Identity{}, ErrNobody
	}
	return Identity{account: b.Account(), roles: slices.Clone(b.Roles())}, nil
}
