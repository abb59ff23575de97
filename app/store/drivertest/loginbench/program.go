package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/holdfast-security/holdfast/app/gate"
	"github.com/holdfast-security/holdfast/app/keyring"
	"github.com/holdfast-security/holdfast/app/login"
	"github.com/holdfast-security/holdfast/app/outbox"
	"github.com/holdfast-security/holdfast/app/password"
	"github.com/holdfast-security/holdfast/app/store"
	"github.com/holdfast-security/holdfast/app/store/drivertest"
	"github.com/holdfast-security/holdfast/app/throttle"
)

const rightPassword = "correct horse battery staple"

// A load is what the store holds and how much of it may be asked.
type load struct {
	bcrypt, pbkdf2 int // costs of the legacy hashes; 0 means that there are none
	attempts       int // of an account: more than a run makes, except on purpose
	preferred      password.Scheme
}

// full has a legacy hash slower than the preferred one, and the guide's faster one.
var full = load{bcrypt: 9, pbkdf2: 24_000, attempts: 6000}

// wire returns the service of the program on this store.
func wire(s *store.Store, g password.Gate, l load) (*login.Service, error) {
	ring, err := keyring.New([]byte("the same secret for all processes of this benchmark"))
	if err != nil {
		return nil, err
	}
	return &login.Service{
		Accounts: s, Links: s,
		Hasher: &password.Hasher{Preferred: l.preferred, Legacy: password.Legacy(), Gate: g},
		Throttle: &throttle.Limiter{
			Store: s, Keys: ring,
			Network: []throttle.Rate{{Burst: 1 << 30, Every: time.Second}},
			Account: []throttle.Rate{{Burst: l.attempts, Every: 1000 * time.Hour}},
		},
		LinkMail: func(_ login.Account, token string) outbox.Mail { return outbox.Mail{Subject: "Login", Text: token} },
	}, nil
}

// refusals are the names that are refused, one for each reason.
var refusals = []string{"nobody", "preferred", "md5", "pbkdf2", "bcrypt", "none", "off", "locked"}

// seed fills a store.
func seed(ctx context.Context, s *store.Store, l load) error {
	service, err := wire(s, &gate.Gate{}, l)
	if err != nil {
		return err
	}
	good, err := service.Hasher.Hash(ctx, rightPassword)
	if err != nil {
		return err
	}
	for n := range 500 {
		if err := s.AddAccount(ctx, login.NewAccount(login.ID(fmt.Sprint("user", n)), "", good)); err != nil {
			return err
		}
	}
	if l.bcrypt == 0 {
		return nil
	}
	md := md5.Sum([]byte(rightPassword))
	slow, err := bcrypt.GenerateFromPassword([]byte(rightPassword), l.bcrypt)
	if err != nil {
		return err
	}
	pb, err := password.PBKDF2{Iterations: l.pbkdf2, InsecureWeak: true}.Hash(rightPassword)
	if err != nil {
		return err
	}
	stored := map[string]string{"preferred": good, "off": good, "locked": good, "none": "", "md5": hex.EncodeToString(md[:]), "bcrypt": string(slow), "pbkdf2": pb}
	for id, hash := range stored {
		a := login.NewAccount(login.ID(id), id+"@example.org", hash)
		a.Disabled = id == "off"
		if err := s.AddAccount(ctx, a); err != nil {
			return err
		}
	}
	for {
		t, err := service.Throttle.Reserve(ctx, throttle.Attempt{Name: "locked"})
		if err != nil || t.Locked() {
			return err
		}
	}
}

// hello is what the program tells its parent once it serves.
type hello struct {
	Addr string
	Idle int64 // resident memory in bytes, before it hashed anything
}

// serve is the program: it ends when its standard input does.
func serve(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	kind, dsn := f.String("kind", "", ""), f.String("dsn", "", "")
	queue := f.Int("queue", 0, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	db, err := drivertest.Connect(drivertest.Kind(*kind), *dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	g := &probedGate{Gate: &gate.Gate{Queue: *queue}}
	service, err := wire(store.New(db, drivertest.Kind(*kind).Dialect()), g, full)
	if err != nil {
		return err
	}
	idle := resident("VmRSS")
	if err := service.Measure(ctx); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /login", handler(service, g))
	mux.Handle("GET /probes", http.HandlerFunc(g.probes))
	go http.Serve(listener, mux)
	if *queue != 0 {
		go g.probe(ctx)
	}
	if err := json.NewEncoder(os.Stdout).Encode(hello{listener.Addr().String(), idle}); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// handler answers as a program should. The header Plant makes it wait: the gap
// that a timing run has to find.
func handler(s *login.Service, g *probedGate) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		addr, _ := netip.ParseAddrPort(r.RemoteAddr) // loopback
		in, err := s.Login(r.Context(), login.Attempt{ID: r.FormValue("id"), Password: r.FormValue("password"), Addr: addr.Addr()})
		if gap, err := time.ParseDuration(r.Header.Get("Plant")); err == nil {
			for start := time.Now(); time.Since(start) < gap; {
			}
		}
		var many *throttle.TooManyError
		switch {
		case err == nil:
			http.SetCookie(w, s.Throttle.Cookie(in.Device))
			fmt.Fprintln(w, "welcome")
		case errors.Is(err, login.ErrDenied):
			http.Error(w, err.Error(), http.StatusForbidden)
		case errors.As(err, &many):
			w.Header().Set("Retry-After", strconv.Itoa(int(many.RetryAfter.Seconds())))
			http.Error(w, "too many attempts", http.StatusTooManyRequests)
		case errors.Is(err, gate.ErrBusy):
			w.Header().Set("Retry-After", strconv.Itoa(int(g.RetryAfter().Seconds())))
			http.Error(w, "too busy", http.StatusServiceUnavailable)
		default:
			http.Error(w, "error", http.StatusInternalServerError)
		}
	}
}

// A probedGate times how long Do takes to refuse.
type probedGate struct {
	*gate.Gate
	mu   sync.Mutex
	took []time.Duration
}

func (g *probedGate) Do(ctx context.Context, w gate.Weight, fn func() error) error {
	start := time.Now()
	err := g.Gate.Do(ctx, w, fn)
	if errors.Is(err, gate.ErrBusy) {
		took := time.Since(start)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.took = append(g.took, took)
	}
	return err
}

// probe keeps the queue full with hashes of its own, since logins ask for room
// before they come to the gate, and times how Do refuses one more.
func (g *probedGate) probe(ctx context.Context) {
	weight := gate.Weight{Memory: 19 << 20, Lanes: 1}
	hash := func() error {
		_, err := password.Argon2id{}.Hash(rightPassword)
		return err
	}
	for range time.Tick(2 * time.Millisecond) {
		if ctx.Err() != nil {
			return
		}
		for range g.Room() {
			go g.Gate.Do(ctx, weight, hash)
		}
		if g.Room() == 0 {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			g.Do(ctx, weight, func() error { return nil })
			cancel()
		}
	}
}

func (g *probedGate) probes(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	json.NewEncoder(w).Encode(g.took)
}

// raw hashes on all processors for a while and returns how many hashes that were
// in a second.
func raw(d time.Duration) (float64, error) {
	var all sync.WaitGroup
	counts := make([]int, runtime.GOMAXPROCS(0))
	errs := make([]error, len(counts))
	start := time.Now()
	for i := range counts {
		all.Go(func() {
			for time.Since(start) < d && errs[i] == nil {
				_, errs[i] = password.Argon2id{}.Hash(rightPassword)
				counts[i]++
			}
		})
	}
	all.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(start).Seconds(), errors.Join(errs...)
}

// percentile returns the p-th of 100, 0 for none.
func percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(float64(len(sorted))*p/100), len(sorted)-1)]
}
