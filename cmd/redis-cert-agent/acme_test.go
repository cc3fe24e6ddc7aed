package main

import (
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	pebbleca "github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/agent/ca/acme/acmetest"
)

// The external account that pebble start -eab wants.
const (
	eabID  = "kid-1"
	eabKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W_-8"
)

// A pebble is Let's Encrypt's test CA, the DNS that it asks, and the way to it.
// Its certificates are for servers only, as those of public CAs are.
type pebble struct {
	*acmetest.Pebble
	names   *acmetest.Nameserver
	relay   *relay
	invalid atomic.Bool // orders end as invalid
	moved   string      // the certificate whose window was moved, as an order names it

	mu       sync.Mutex
	replaced []string // what orders said they replace
}

// cmdPebble runs a Pebble, of which these tell: $PEBBLE is its directory,
// $PEBBLE_ROOTS a file of roots, $PEBBLE_HTTP and $PEBBLE_TLS where it looks for
// challenges, $PEBBLE_DNS the server of the zone internal. Names in that lead to
// $HOST. The files tsig and hmac hold what it wants to know.
//
//	pebble start [-nonces PERCENT] [-life DURATION] [-eab] [-zone] [-identity NAME]
//	                 -zone: the zone's server has port 53 of $HOST as well
//	                 -identity: how it names itself, as letsencrypt.org does
//	pebble records FILE  the lines of FILE are in the zone now
//	pebble lost NAME from now on NAME leads to nobody
//	pebble invalid   orders end as invalid; pebble valid
//	pebble window    what redis shows is to be renewed an hour ago
//	pebble replaced  an order came that says it replaces that certificate
//	pebble down      nothing listens at $PEBBLE; pebble up
//	pebble asked PATH N  N requests, neither more nor less, had PATH in theirs
//	pebble status FILE Valid|Revoked  what it has recorded of a certificate
//	pebble clear N   N TXT records came, and none is left
func (s *host) cmdPebble(ts *testscript.TestScript, args []string) error {
	if args[0] == "start" {
		return s.startPebble(ts, args[1:])
	}
	p := s.pebble
	if p == nil {
		return errors.New("no Pebble was started")
	}
	switch args[0] {
	case "lost":
		p.names.Add(s.t, args[1]+". 1 IN A "+acmetest.FreshHost(s.t))
	case "invalid", "valid":
		p.invalid.Store(args[0] == "invalid")
	case "window":
		return s.moveWindow()
	case "replaced":
		p.mu.Lock()
		defer p.mu.Unlock()
		if !slices.Contains(p.replaced, p.moved) {
			return fmt.Errorf("orders replace %q, and none %s", p.replaced, p.moved)
		}
	case "down":
		p.relay.cut()
	case "up":
		return p.relay.join()
	case "asked":
		if n := p.Count(args[1]); strconv.Itoa(n) != args[2] {
			return fmt.Errorf("%d requests to %s, want %s", n, args[1], args[2])
		}
	case "records":
		for line := range strings.Lines(ts.ReadFile(args[1])) {
			p.names.Add(s.t, strings.TrimSpace(line))
		}
	case "status":
		return s.certificateStatus(ts, args[1], args[2])
	case "clear":
		return p.clear(args[1])
	default:
		return fmt.Errorf("pebble %s: no such subcommand", args[0])
	}
	return nil
}

func (s *host) startPebble(ts *testscript.TestScript, args []string) error {
	p := &pebble{names: acmetest.NewNameserver(s.t, "internal", s.challenges)}
	shape := acmetest.Shape{Host: s.challenges, Resolver: p.names.Addr, Answer: p.answer}
	life, zone := 24*time.Hour, false
	_, err := flags(args, func(f *flag.FlagSet) {
		f.IntVar(&shape.BadNonces, "nonces", 0, "percent of good nonces that are refused")
		f.DurationVar(&life, "life", life, "lifetime of certificates")
		f.StringVar(&shape.Identity, "identity", "", "name in CAA records")
		f.BoolVar(&zone, "zone", false, "port 53")
		f.BoolFunc("eab", "accounts need an external one", func(string) error {
			shape.EAB = map[string]string{eabID: eabKey}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if zone {
		p.names.Add(s.t, "ns.internal. 60 IN A "+s.challenges)
		err := p.names.ListenToo(s.t, s.challenges+":53")
		if errors.Is(err, syscall.EACCES) {
			s.t.Skip("only root may listen on port 53, which name servers have")
		}
		if err != nil {
			return err
		}
	}
	shape.Profiles = map[string]pebbleca.Profile{"default": {ValidityPeriod: uint64(life.Seconds())}}
	p.Pebble = acmetest.StartPebble(s.t, shape)
	p.relay = newRelay(s.t, p.Listener.Addr().String())
	s.pebble = p
	return s.tellPebble(ts)
}

// tellPebble tells the script where what is.
func (s *host) tellPebble(ts *testscript.TestScript) error {
	hook, err := exec.LookPath("dns-hook")
	if err != nil {
		return err
	}
	p := s.pebble
	ts.Setenv("PEBBLE", "https://"+p.relay.Addr+wfe.DirectoryPath)
	ts.Setenv("PEBBLE_ROOTS", s.path("pebble.pem"))
	ts.Setenv("PEBBLE_HTTP", p.Listen(p.HTTPPort))
	ts.Setenv("PEBBLE_TLS", p.Listen(p.TLSPort))
	ts.Setenv("PEBBLE_DNS", p.names.Addr)
	ts.Setenv("DNS_HOOK", hook)
	var roots strings.Builder
	for _, r := range p.Roots {
		roots.WriteString(pemText(r))
	}
	return errors.Join(
		os.WriteFile(s.path("pebble.pem"), []byte(roots.String()), 0o600),
		os.WriteFile(s.path("tsig"), []byte(acmetest.TSIGSecret+"\n"), 0o600),
		os.WriteFile(s.path("hmac"), []byte(eabKey+"\n"), 0o600),
	)
}

// answer notes what orders say, and answers in Pebble's place.
func (p *pebble) answer(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == "/order-plz" {
		var order struct{ Replaces string }
		_ = json.Unmarshal([]byte(acmetest.Payload(r)), &order) // what is no order replaces nothing
		p.mu.Lock()
		p.replaced = append(p.replaced, order.Replaces)
		p.mu.Unlock()
	}
	if !p.invalid.Load() || !strings.HasPrefix(r.URL.Path, "/finalize-order/") {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Replay-Nonce", "bm9uY2U")
	fmt.Fprint(w, `{"status":"invalid","error":{"type":"urn:ietf:params:acme:error:caa","detail":"the zone forbids it",`+
		`"subproblems":[{"type":"urn:ietf:params:acme:error:caa","detail":"none of ours","identifier":{"type":"dns","value":"caa.internal"}}]}}`)
	return true
}

// moveWindow makes Pebble want what redis shows to be renewed an hour ago.
func (s *host) moveWindow() error {
	chain, err := s.look()
	if err != nil {
		return err
	}
	end := time.Now().Add(-time.Hour)
	s.pebble.Window(s.t, chain[0], fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`,
		end.Add(-time.Hour).Format(time.RFC3339), end.Format(time.RFC3339)))
	serial, err := asn1.Marshal(chain[0].SerialNumber)
	if err != nil {
		return err
	}
	// RFC 9773, section 4.1: the issuer's key and the bytes of the serial number.
	s.pebble.moved = base64.RawURLEncoding.EncodeToString(chain[0].AuthorityKeyId) + "." + base64.RawURLEncoding.EncodeToString(serial[2:])
	s.last = chain[0]
	return nil
}

// clear checks that as many TXT records as want came, and that all have gone.
func (p *pebble) clear(want string) error {
	added, left := 0, map[string]bool{}
	for _, change := range p.names.Log() {
		if record, ok := strings.CutPrefix(change, "add "); ok {
			added++
			left[record] = true
		} else {
			delete(left, strings.TrimPrefix(change, "remove "))
		}
	}
	if strconv.Itoa(added) != want || len(left) > 0 {
		return fmt.Errorf("%d TXT records came, want %s; left are %v", added, want, left)
	}
	return nil
}
