package reload

import (
	"crypto/tls"
	"slices"
	"strings"
	"sync"
)

// A suite is a cipher suite of TLS 1.2 and before in which a certificate proves the server.
type suite struct {
	name string // as OpenSSL calls it
	id   uint16 // as crypto/tls knows it; 0: it does not
}

// suites returns those that OpenSSL has, in no order. A name tells all that the words of a
// cipher list go by: ECDHE-RSA-AES128-GCM-SHA256, or AES128-SHA with RSA for both the key
// exchange and the certificate.
var suites = sync.OnceValue(func() (all []suite) {
	const most = "AES128-GCM-SHA256 AES256-GCM-SHA384 CHACHA20-POLY1305 AES128-SHA AES256-SHA AES128-SHA256 DES-CBC3-SHA "
	const rare = "AES128-CCM AES256-CCM AES128-CCM8 AES256-CCM8 ARIA128-GCM-SHA256 ARIA256-GCM-SHA384 CAMELLIA128-SHA256 "
	const old = "AES256-SHA256 SEED-SHA CAMELLIA256-SHA256 CAMELLIA128-SHA CAMELLIA256-SHA"
	for _, of := range [][2]string{
		{"ECDHE-ECDSA-", most + rare + "AES256-SHA384 CAMELLIA256-SHA384"},
		{"ECDHE-RSA-", most + "AES256-SHA384 CAMELLIA128-SHA256 CAMELLIA256-SHA384"},
		{"ECDHE-", "ARIA128-GCM-SHA256 ARIA256-GCM-SHA384"},
		{"DHE-RSA-", most + rare + old},
		{"", strings.Replace(most, "CHACHA20-POLY1305 ", "", 1) + rare + old},
	} {
		for _, cipher := range strings.Fields(of[1]) {
			all = append(all, suite{name: of[0] + cipher})
		}
	}
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		name := openSSLName(s.Name)
		if i := slices.IndexFunc(all, func(s suite) bool { return s.name == name }); i >= 0 {
			all[i].id = s.ID
		}
	}
	return all
})

// openSSLName turns a name like TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA into what OpenSSL calls
// it, ECDHE-RSA-AES128-SHA.
func openSSLName(name string) string {
	for _, change := range [][2]string{
		{"_", "-"}, {"TLS-RSA-WITH-", ""}, {"TLS-", ""}, {"WITH-", ""}, {"AES-", "AES"}, {"3DES-EDE-CBC", "DES-CBC3"},
		{"8-CBC", "8"}, {"6-CBC", "6"}, {"POLY1305-SHA256", "POLY1305"},
	} {
		name = strings.ReplaceAll(name, change[0], change[1])
	}
	return name
}

// proves is the kind of key with which a server proves itself: ecdsa, which stands for
// Ed25519 as well (RFC 8422, section 5.1.1), or rsa.
func (s suite) proves() string {
	if strings.HasPrefix(s.name, "ECDHE-ECDSA-") {
		return "ecdsa"
	}
	return "rsa"
}

// exchange is how the session key comes about.
func (s suite) exchange() string {
	for _, kind := range []string{"ECDHE", "DHE"} {
		if strings.HasPrefix(s.name, kind+"-") {
			return kind
		}
	}
	return "RSA"
}

// is says whether a word of a cipher list (ciphers(1)), or a name, means s, and whether
// it is a word or a name at all.
func (s suite) is(word string) (yes, known bool) {
	rare := s.has("ARIA") || s.has("CAMELLIA") || s.has("CCM")
	switch word {
	case "ALL":
		yes = true
	case "DEFAULT":
		yes = !s.medium() && !rare
	case "COMPLEMENTOFDEFAULT":
		yes = s.medium() || rare
	case "HIGH":
		yes = !s.medium()
	case "MEDIUM":
		yes = s.medium()
	case "kRSA", "RSA":
		yes = s.exchange() == "RSA"
	case "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH":
		yes = s.exchange() == "ECDHE"
	case "DHE", "EDH", "kDHE", "kEDH", "DH":
		yes = s.exchange() == "DHE"
	case "aRSA":
		yes = s.proves() == "rsa"
	case "aECDSA", "ECDSA":
		yes = s.proves() == "ecdsa"
	case "AES", "AES128", "AES256", "CHACHA20", "CAMELLIA", "CAMELLIA128", "CAMELLIA256", "ARIA", "ARIA128", "ARIA256", "SEED":
		yes = s.has(word)
	case "AESGCM":
		yes = s.has("AES") && s.has("-GCM-")
	case "AESCCM":
		yes = s.has("-CCM")
	case "AESCCM8":
		yes = s.has("-CCM8")
	case "ARIAGCM":
		yes = s.has("ARIA")
	case "3DES":
		yes = s.has("CBC3")
	case "SHA", "SHA1":
		yes = s.sha1()
	case "SHA256", "SHA384": // of each record; with GCM the hash is of the handshake
		yes = strings.HasSuffix(s.name, "-"+word) && !s.has("-GCM-")
	case "SSLv3":
		yes = s.sha1() && s.exchange() != "ECDHE"
	case "TLSv1", "TLSv1.0":
		yes = s.sha1() && s.exchange() == "ECDHE"
	case "TLSv1.2":
		yes = !s.sha1()
	default:
		yes = s.name == word
		known = slices.Contains(nothing, word) || slices.ContainsFunc(suites(), func(s suite) bool { return s.name == word })
		return yes, known
	}
	return yes, true
}

// nothing are words for suites without a certificate, or for such as nobody has any more.
var nothing = strings.Fields("eNULL NULL aNULL PSK kPSK aPSK kECDHEPSK kDHEPSK kRSAPSK SRP kSRP aSRP DSS aDSS ADH AECDH RC4 RC2 MD5 DES IDEA LOW EXP EXPORT EXPORT40 EXPORT56 GOST94 GOST89MAC aGOST aGOST01 kGOST")

func (s suite) has(part string) bool { return strings.Contains(s.name, part) }
func (s suite) sha1() bool           { return strings.HasSuffix(s.name, "-SHA") }
func (s suite) medium() bool         { return s.has("CBC3") || s.has("SEED") }

// cipherSuites returns which suites a cipher list of OpenSSL allows. Whole says that no
// others can be among them: a name or a word that is not known here, of another version
// of OpenSSL, may stand for any.
func cipherSuites(list string) (allowed []suite, whole bool) {
	whole = true
	killed, chosen := map[suite]bool{}, map[suite]bool{}
	for _, item := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(":,; ", r) }) {
		sign, name := item[0], item
		if strings.ContainsRune("!-+@", rune(sign)) {
			name = item[1:]
		}
		if sign == '@' {
			whole = whole && (name == "STRENGTH" || name == "SECLEVEL=0" || name == "SECLEVEL=1" || name == "SECLEVEL=2")
			continue
		}
		if !meant(name) {
			// What it takes away is not missed: the rest is an upper bound.
			whole = whole && (sign == '!' || sign == '-' || sign == '+')
			continue
		}
		for _, s := range suites() {
			switch {
			case !s.all(name) || sign == '+': // which moves to the end what is there
			case sign == '!':
				killed[s] = true
			case sign == '-':
				delete(chosen, s)
			default:
				chosen[s] = true
			}
		}
	}
	for _, s := range suites() {
		if chosen[s] && !killed[s] {
			allowed = append(allowed, s)
		}
	}
	return allowed, whole
}

// all says whether each word of an item of a cipher list, which + joins, means s.
func (s suite) all(item string) bool {
	return !slices.ContainsFunc(strings.Split(item, "+"), func(word string) bool { yes, _ := s.is(word); return !yes })
}

// meant says whether each word of an item is known.
func meant(item string) bool {
	return !slices.ContainsFunc(strings.Split(item, "+"), func(word string) bool { _, known := suite{}.is(word); return !known })
}
