package resource_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-security/holdfast/server"
	"github.com/holdfast-security/holdfast/server/factor"
	"github.com/holdfast-security/holdfast/server/hosttest"
	"github.com/holdfast-security/holdfast/server/resource"
)

// enrolled puts a file of the module's on a host.
func enrolled(content string) func(*hosttest.Host) {
	return func(h *hosttest.Host) {
		h.PutEntry(factor.Path("anna"), server.Entry{Mode: 0o400, Owner: "root", Group: "root", Content: content})
	}
}

func TestFactor(t *testing.T) {
	secret, other := factor.New(), factor.New()
	digest, err := resource.FactorDigest(t.Context(), hosttest.Debian(t), secret.Text())
	if err != nil {
		t.Fatal(err)
	}
	wanted := resource.Factor{Account: "anna", Digest: digest, Secret: server.NewSecret(secret.String()), Lent: server.NewSecret("11111111 22222222")}
	shows := func(parts ...string) func(testing.TB, *hosttest.Host) {
		return func(t testing.TB, h *hosttest.Host) {
			for _, part := range parts {
				if text := h.Content(factor.Path("anna")); !strings.Contains(text, part) {
					t.Errorf("it lacks %q:\n%s", part, text)
				}
			}
		}
	}
	used := strings.Replace(strings.Replace(factor.NewFile(secret).String(), "DISALLOW_REUSE", "DISALLOW_REUSE 59848733", 1), secret.Recovery[0]+"\n", "", 1)
	drift := enrolled(factor.NewFile(factor.New()).String())
	hidden := append([]string{secret.Text(), other.Text(), "11111111"}, secret.Recovery...)
	hosttest.TestResource(t, codec,
		hosttest.Case{Name: "not enrolled", Resource: wanted, Host: on(), Drift: drift, Secrets: hidden, Shows: shows(secret.Text(), secret.Recovery[4], "11111111\n22222222\n")},
		hosttest.Case{Name: "another key", Resource: wanted, Host: on(enrolled(factor.NewFile(other).String())), Drift: drift, Secrets: hidden, Shows: shows(secret.Text(), secret.Recovery[0])},
		hosttest.Case{Name: "a wide window", Resource: resource.Factor{Account: "anna"}, Host: on(enrolled(strings.Replace(used, "WINDOW_SIZE 3", "WINDOW_SIZE 17", 1))), Drift: enrolled("hello\n"), Secrets: hidden,
			Shows: shows(secret.Text(), "WINDOW_SIZE 3\n", secret.Recovery[1])},
		hosttest.Case{Name: "garbage", Resource: wanted, Host: on(enrolled("hello\n")), Drift: drift, Secrets: hidden, Shows: shows(secret.Text())},
		hosttest.Case{Name: "others may read it", Resource: wanted, Drift: drift, Secrets: hidden, Host: on(func(h *hosttest.Host) {
			h.PutEntry(factor.Path("anna"), server.Entry{Mode: 0o644, Owner: "anna", Group: "anna", Content: used})
		})},
	)
	h := hosttest.Debian(t)
	enrolled(used)(h)
	if c, err := server.Check(t.Context(), h, wanted); err != nil || c.Needed() {
		t.Errorf("what the module remembers counts as a change: %+v, %v", c, err)
	}
}

func TestLend(t *testing.T) {
	secret := factor.New()
	content := factor.NewFile(secret).String()
	used := strings.Replace(content, "RATE_LIMIT 3 30", "RATE_LIMIT 3 30 1795462000 1795462001", 1)
	h := hosttest.Debian(t)
	enrolled(used)(h)
	before := h.Content(factor.Path("anna"))
	got, err := resource.Lend(t.Context(), h, "r1", map[string][]string{"anna": {"11111111", "22222222"}, "bert": {"33333333"}})
	if err != nil || !slices.Equal(got, []string{"anna"}) {
		t.Fatalf("%v, %v", got, err)
	}
	if now := h.Content(factor.Path("anna")); now != content+"11111111\n22222222\n" {
		t.Errorf("lent:\n%s", now)
	}
	// Again in the same run, with one of another run beside it; one code is used up.
	if _, err := resource.Lend(t.Context(), h, "r2", map[string][]string{"anna": {"44444444"}}); err != nil {
		t.Fatal(err)
	}
	enrolled(strings.Replace(h.Content(factor.Path("anna")), "11111111\n", "", 1))(h)
	if _, err := resource.Lend(t.Context(), h, "r1", map[string][]string{"anna": {"55555555"}}); err != nil {
		t.Fatal(err)
	}
	if now := h.Content(factor.Path("anna")); now != content+"44444444\n55555555\n" {
		t.Errorf("lent again:\n%s", now)
	}
	// Bert is enrolled by the run itself.
	h.PutEntry(factor.Path("bert"), server.Entry{Mode: 0o400, Owner: "root", Group: "root", Content: content + "33333333\n"})
	if err := resource.TakeBack(t.Context(), h, "r1"); err != nil {
		t.Fatal(err)
	}
	if now := h.Content(factor.Path("anna")); now != content+"44444444\n" {
		t.Errorf("taken back:\n%s", now)
	}
	if now := h.Content(factor.Path("bert")); now != content {
		t.Errorf("taken back from bert:\n%s", now)
	}
	for range 2 {
		if err := resource.TakeBack(t.Context(), h, ""); err != nil {
			t.Fatal(err)
		}
	}
	if now := h.Content(factor.Path("anna")); now != content || before == now {
		t.Errorf("all taken back:\n%s", now)
	}
}
