package acme

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	pebbleca "github.com/letsencrypt/pebble/v2/ca"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
)

// The dimensions of the matrix: what one ACME CA does and another does not.
var (
	badNonces = []int{0, 50, 90}
	reuses    = []bool{false, true}
	chains    = []int{0, 1, 3}
	yesNo     = []bool{false, true}
	ways      = []string{kindHTTP01, kindTLSALPN01}
)

type cell struct {
	nonces       int
	reuse        bool
	chains       int
	profile, eab bool
	way          string
}

func matrix() (all []cell) {
	for _, n := range badNonces {
		for _, r := range reuses {
			for _, c := range chains {
				for _, p := range yesNo {
					for _, e := range yesNo {
						for _, w := range ways {
							all = append(all, cell{n, r, c, p, e, w})
						}
					}
				}
			}
		}
	}
	return all
}

// sample returns cells in the order of seed until each value of each dimension is among
// them. ACME_MATRIX=all runs all of them, and ACME_MATRIX=SEED the same sample again.
func sample(t *testing.T) []cell {
	all, seed := matrix(), uint64(time.Now().UnixNano())
	switch text := os.Getenv("ACME_MATRIX"); text {
	case "all":
		return all
	case "":
	default:
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = given
	}
	t.Logf("ACME_MATRIX=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	var some []cell
	seen := map[string]bool{}
	for _, c := range all {
		news := false
		for _, v := range []string{fmt.Sprint("nonces ", c.nonces), fmt.Sprint("reuse ", c.reuse), fmt.Sprint("chains ", c.chains),
			fmt.Sprint("profile ", c.profile), fmt.Sprint("eab ", c.eab), c.way} {
			news = news || !seen[v]
			seen[v] = true
		}
		if news {
			some = append(some, c)
		}
	}
	return some
}

// Whatever a CA does of the matrix, two certificates in a row are issued, by an order
// each, or refused in one line for the nonces; and no listener is left open.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, c := range sample(t) {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			t.Parallel()
			runCell(t, c)
		})
	}
}

func runCell(t *testing.T, c cell) {
	s := shape{BadNonces: c.nonces, Remembers: c.reuse, Chains: c.chains}
	if c.profile {
		s.Profiles = map[string]pebbleca.Profile{"short": {Description: "short", ValidityPeriod: 3600}}
	}
	const kid, mac = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	if c.eab {
		s.EAB = map[string]string{kid: mac}
	}
	p := startPebble(t, s)
	o := p.options(t)
	listen := p.Listen(p.HTTPPort)
	if c.way == kindTLSALPN01 {
		listen = p.Listen(p.TLSPort)
		o.Challenge = TLSALPN01{Listen: listen}
	}
	if c.profile {
		o.Profile = "short"
	}
	if c.eab {
		o.EAB = &EAB{KeyID: kid, Key: secret.Func(func() ([]byte, error) { return []byte(mac), nil })}
	}
	client := New(o)
	var current *cert.Pair
	for range 2 {
		got, err := client.Issue(t.Context(), fill(ca.Request{Current: current}))
		closed(t, listen)
		if err != nil {
			e := checked(t, client, err)
			if c.nonces == 0 || e.Type != "badNonce" { // ten in a row are refused at 50 % as well, now and then
				t.Errorf("refused: %v", e)
			}
			t.Log(e)
			return
		}
		current = good(t, got, []string{"redis1.internal"}, cert.P256)
	}
	// A request whose nonce was refused is repeated; each order has an authorization of
	// its own, unless the CA reuses them.
	if n := p.Count("order-plz"); c.nonces == 0 && n != 2 {
		t.Errorf("%d orders for two certificates", n)
	}
	authorizations := map[string]bool{}
	for _, request := range p.Seen() {
		if strings.Contains(request, "/authZ/") {
			authorizations[request] = true
		}
	}
	if n := len(authorizations); n == 0 || n > 2 {
		t.Errorf("%d authorizations for two certificates", n)
	}
}
