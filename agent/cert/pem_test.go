package cert

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A loader is OpenSSL itself, with the functions by which redis reads its files.
type loader struct {
	in  io.Writer
	out *bufio.Reader
	mu  sync.Mutex

	genuine    map[Fingerprint]bool // what the corpus has
	genuineKey interface{ Equal(crypto.PublicKey) bool }
}

var opensslLoads = sync.OnceValues(func() (*loader, error) {
	cmd := exec.Command("python3", "testdata/openssl_load.py")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var talk bytes.Buffer
	cmd.Stderr = &talk
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// It ends with this process, and so its input.
	l := &loader{in: in, out: bufio.NewReader(out), genuine: map[Fingerprint]bool{}}
	leaf, middle, _, key, err := corpusPair()
	if err != nil {
		return nil, err
	}
	l.genuine[FingerprintOf(leaf)], l.genuine[FingerprintOf(middle)] = true, true
	l.genuineKey = key.Public().(*ecdsa.PublicKey)
	return l, nil
})

// A loaded is what OpenSSL made of a text: as a chain, as CA certificates and as a key.
type loaded struct{ chain, ca, key string }

// load has OpenSSL load all texts. They are written while the answers are read, so that
// neither side waits for the other at every text.
func (l *loader) load(t testing.TB, texts ...[]byte) []loaded {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	wrote := make(chan error, 1)
	go func() {
		to := bufio.NewWriter(l.in)
		for _, text := range texts {
			fmt.Fprintf(to, "%d\n%s", len(text), text)
		}
		wrote <- to.Flush()
	}()
	answers := make([]loaded, len(texts))
	for i := range answers {
		a := &answers[i]
		for _, line := range []*string{&a.chain, &a.ca, &a.key} {
			said, err := l.out.ReadString('\n')
			if err != nil {
				t.Fatalf("python3 with libssl.so.3: %v", err)
			}
			*line = strings.TrimSpace(said)
		}
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	return answers
}

// comparePEM returns how this program and OpenSSL differ in what a text holds. Where the
// bytes of a certificate or a key were changed themselves, this program may take what
// OpenSSL refuses: then redis says so. Never the other way round.
func comparePEM(t testing.TB, l *loader, text []byte, openssl loaded) []string {
	var differ []string
	for _, as := range []struct {
		what, theirs string
		parse        func([]byte) ([]*x509.Certificate, error)
	}{{"chain", openssl.chain, ParseChain}, {"ca", openssl.ca, ParseCertificates}} {
		what, theirs, ours := as.what, as.theirs, "refused"
		certs, err := as.parse(text)
		if err == nil {
			var ders []string
			for _, c := range certs {
				ders = append(ders, hex.EncodeToString(c.Raw))
			}
			if what == "ca" {
				slices.Sort(ders)
				ders = slices.Compact(ders)
			}
			ours = strings.Join(ders, " ")
		}
		if theirs == "none" { // revocation lists alone
			theirs = "refused"
		}
		taken := err == nil && !slices.ContainsFunc(certs, func(c *x509.Certificate) bool { return !l.genuine[FingerprintOf(c)] }) &&
			!bytes.Contains(text, []byte("PRIVATE KEY")) // keys among CA certificates are parsed as well
		if ours != theirs && (theirs != "refused" || taken) {
			differ = append(differ, fmt.Sprintf("%s: openssl %.300s\nhere %.300s, %v", what, theirs, ours, err))
		}
	}
	theirs := openssl.key
	key, err := ParseKey(text)
	var broken *PEMError
	switch {
	case err == nil:
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(der) != theirs && (theirs != "refused" || l.genuineKey.Equal(key.Public())) {
			differ = append(differ, fmt.Sprintf("key: openssl %.300s\nhere %x", theirs, der))
		}
	case errors.As(err, &broken) && theirs != "refused":
		differ = append(differ, fmt.Sprintf("key: openssl %.300s\nhere %v", theirs, err))
	}
	return differ
}

func FuzzPEM(f *testing.F) {
	l, err := opensslLoads()
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range pemCorpus(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, d := range comparePEM(t, l, text, l.load(t, text)[0]) {
			t.Errorf("%s\n%q", d, text)
		}
	})
}

// corpusPair are the certificates and the key of the corpus, the same in every process.
func corpusPair() (leaf, middle *x509.Certificate, keyText []byte, key crypto.Signer, err error) {
	p, err := loadTestPair()
	if err != nil {
		return nil, nil, nil, nil, err
	}
	keyText, err = p.KeyPEM()
	return p.Leaf(), p.CA[0], keyText, p.Key, err
}

func loadTestPair() (*Pair, error) {
	var texts [3][]byte
	for i, name := range []string{"redis.crt", "redis.key", "ca.crt"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			return nil, err
		}
		texts[i] = text
	}
	return Parse(texts[0], texts[1], texts[2])
}

// pemCorpus are texts as people have them, whole and damaged.
func pemCorpus(t testing.TB) map[string][]byte {
	leafCert, middleCert, key, _, err := corpusPair()
	if err != nil {
		t.Fatal(err)
	}
	label := func(name string, c *x509.Certificate) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: name, Bytes: c.Raw})
	}
	leaf, middle, root := label("CERTIFICATE", leafCert), label("CERTIFICATE", middleCert), label("CERTIFICATE", middleCert)
	join := func(parts ...any) []byte {
		var all []byte
		for _, p := range parts {
			switch p := p.(type) {
			case string:
				all = append(all, p...)
			case []byte:
				all = append(all, p...)
			}
		}
		return all
	}
	cut := func(text []byte, line int) []byte {
		lines := bytes.SplitAfter(text, []byte("\n"))
		lines[line] = append([]byte("!"), lines[line][1:]...)
		return join(bytes.Join(lines, nil))
	}
	const bom = "\xef\xbb\xbf"
	return map[string][]byte{
		"empty": nil, "blank": []byte(" \n\n"), "chain": join(leaf, middle), "key": key,
		"chain and key": join(leaf, middle, key), "key first": join(key, leaf, middle),
		"byte order mark": join(bom, leaf, middle), "a mark in between": join(leaf, bom, middle),
		"a mark after a comment": join("leaf\n", bom, leaf, middle), "a mark before a comment": join(bom, "leaf\n", leaf), "a mark alone": []byte(bom),
		"key with a mark":       join(bom, key),
		"carriage returns":      bytes.ReplaceAll(join(leaf, middle, key), []byte("\n"), []byte("\r\n")),
		"only carriage returns": bytes.ReplaceAll(leaf, []byte("\n"), []byte("\r")),
		"trusted":               join(label("TRUSTED CERTIFICATE", leafCert), middle), "trusted behind": join(leaf, label("TRUSTED CERTIFICATE", middleCert), middle),
		"old label":       join(label("X509 CERTIFICATE", leafCert), label("X509 CERTIFICATE", middleCert)),
		"text in between": join("subject=x\n", leaf, "issuer: y\n\n", middle, "the end"),
		"damaged":         join(leaf, cut(middle, 3)), "damaged first": join(cut(leaf, 3), middle), "damaged root": join(cut(root, 2), root),
		"no line end": join(bytes.TrimSpace(leaf), middle), "no end at all": leaf[:len(leaf)-30], "cut": leaf[:100],
		"begin only": join(leaf, "-----BEGIN CERTIFICATE-----\n", middle), "another end": join("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATES-----\n"),
		"nothing in it":         join(leaf, "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
		"no certificate in it":  join(leaf, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
		"another damaged block": join("-----BEGIN X-----\n!!\n-----END X-----\n", leaf), "another block": join("-----BEGIN X-----\nAAAA\n-----END X-----\n", leaf),
		"indented": bytes.ReplaceAll(join(leaf), []byte("\n"), []byte("\n  ")), "indented all": join("  ", bytes.ReplaceAll(leaf, []byte("\n"), []byte("\n  "))),
		"trailing blanks":  bytes.ReplaceAll(join(leaf, middle), []byte("\n"), []byte(" \t\n")),
		"empty lines":      bytes.ReplaceAll(join(leaf), []byte("\n"), []byte("\n\n")),
		"empty line first": bytes.Replace(join(leaf), []byte("-----\n"), []byte("-----\n\n"), 1),
		"header":           bytes.Replace(join(leaf), []byte("-----\n"), []byte("-----\nComment: x\n\n"), 1),
		"one line":         join("-----BEGIN CERTIFICATE-----\n", bytes.ReplaceAll(leaf[28:len(leaf)-27], []byte("\n"), nil), "\n-----END CERTIFICATE-----\n"),
		"zero bytes":       join(leaf, "\x00\x00\n", middle), "not ASCII": join(leaf, "\xa0\xa0\n", bytes.ReplaceAll(middle, []byte("-----\n"), []byte("-----\xa0\n"))),
		"more behind":            pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: join(leafCert.Raw, "abc")}),
		"dash":                   bytes.Replace(join(leaf), []byte("=\n--"), []byte("=-nothing\n--"), 1),
		"wrong label of the key": bytes.ReplaceAll(key, []byte("PRIVATE"), []byte("EC PRIVATE")),
		"explicit parameters":    openSSL(t, "ecparam", "-name", "prime256v1", "-genkey", "-param_enc", "explicit"),
		"EC key":                 openSSL(t, "ecparam", "-name", "prime256v1", "-genkey"), "brainpool": openSSL(t, "ecparam", "-name", "brainpoolP256r1", "-genkey"),
		"RSA-PSS": openSSL(t, "genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:1024"), "Ed448": openSSL(t, "genpkey", "-algorithm", "ED448"),
		"PKCS1": openSSL(t, "genrsa", "-traditional", "1024"), "damaged key": cut(key, 2), "cut key": key[:80], "key of a key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: leafCert.Raw}),
	}
}

func openSSL(t testing.TB, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v: %s", args, err, &talk)
	}
	return out
}

// TestPEMChanged changes texts as accidents do, and holds what this program makes of each
// against OpenSSL.
func TestPEMChanged(t *testing.T) {
	l, err := opensslLoads()
	if err != nil {
		t.Fatal(err)
	}
	corpus := pemCorpus(t)
	names := slices.Sorted(maps.Keys(corpus))
	pieces := []string{"\n", "\r\n", "\r", "=", "-", "!", ":", " ", "\t", "\x00", "\xef\xbb\xbf", "\xa0", "A", "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN X509 CRL-----\n"}
	random := rand.New(rand.NewPCG(1, 2))
	texts, of := make([][]byte, 3000), make([]string, 3000)
	for n := range texts {
		name := names[random.IntN(len(names))]
		text := bytes.Clone(corpus[name])
		for range 1 + random.IntN(2) {
			lines := bytes.SplitAfter(text, []byte("\n"))
			i := random.IntN(len(lines))
			switch line := lines[i]; random.IntN(4) {
			case 0:
				lines = slices.Delete(lines, i, i+1)
			case 1:
				lines = slices.Insert(lines, i, lines[random.IntN(len(lines))])
			case 2:
				at := random.IntN(len(line) + 1)
				lines[i] = slices.Concat(line[:at], []byte(pieces[random.IntN(len(pieces))]), line[at:])
			case 3:
				at := random.IntN(len(line) + 1)
				lines[i] = slices.Concat(line[:at], line[min(at+1, len(line)):])
			}
			text = bytes.Join(lines, nil)
		}
		texts[n], of[n] = text, name
	}
	for n, openssl := range l.load(t, texts...) {
		if differ := comparePEM(t, l, texts[n], openssl); differ != nil {
			t.Fatalf("%s: %s\n%q", of[n], strings.Join(differ, "\n"), texts[n])
		}
	}
}
