package cert

import "encoding/asn1"

// Tags and lengths as they are written (X.690, section 8.1).
const (
	sequence   = 0x30
	set        = 0x31
	explicit0  = 0xa0
	explicit1  = 0xa1
	explicit3  = 0xa3
	indefinite = 0x80
)

// A part is an element of a DER text, which need not be as short as DER asks; the zero
// value is none.
type part struct {
	tag       byte
	raw, body []byte
}

// element takes the first element off a text.
func element(text []byte) (p part, rest []byte) {
	if len(text) < 2 || text[0]&0x1f == 0x1f {
		return part{}, nil
	}
	head, n := 2, int(text[1])
	if n > indefinite {
		size := n - indefinite
		if size > 4 || len(text) < head+size {
			return part{}, nil
		}
		n = 0
		for _, b := range text[head : head+size] {
			n = n<<8 | int(b)
		}
		head += size
	} else if n == indefinite {
		return part{}, nil
	}
	if n < 0 || n > len(text)-head {
		return part{}, nil
	}
	return part{text[0], text[:head+n], text[head : head+n]}, text[head+n:]
}

// outermost returns the sequence at the beginning of a text, which is all that a
// certificate or a key is; nil when it is none, or not whole.
func outermost(der []byte) []byte {
	if len(der) >= 2 && der[0] == sequence && der[1] == indefinite {
		return der
	}
	if p, _ := element(der); p.tag == sequence {
		return p.raw
	}
	return nil
}

// split takes a text apart into elements of these tags and nothing more; 0 is any tag.
func split(text []byte, into []part, tags ...byte) bool {
	for i, tag := range tags {
		if into[i], text = element(text); into[i].raw == nil || tag != 0 && into[i].tag != tag {
			return false
		}
	}
	return len(text) == 0
}

// each says whether all elements of a text are as is says.
func each(text []byte, is func(part) bool) bool {
	for len(text) > 0 {
		p, rest := element(text)
		if p.raw == nil || !is(p) {
			return false
		}
		text = rest
	}
	return true
}

// isAlgorithm knows an AlgorithmIdentifier, whose parameters may be anything.
func isAlgorithm(p part) bool {
	var parts [2]part
	return split(p.body, parts[:], asn1.TagOID) && isOID(parts[0]) || split(p.body, parts[:], asn1.TagOID, 0) && isOID(parts[0])
}

func isOID(p part) bool { return len(p.body) > 0 && p.body[len(p.body)-1]&0x80 == 0 }

// isBits knows a bit string, whose first byte counts the bits that are missing at its end.
func isBits(p part) bool { return len(p.body) > 0 && p.body[0] <= 7 }

// isName knows a Name: sets of an attribute and its value.
func isName(p part) bool {
	return each(p.body, func(p part) bool {
		return p.tag == set && each(p.body, func(p part) bool {
			var attribute [2]part
			return p.tag == sequence && split(p.body, attribute[:], asn1.TagOID, 0) && isOID(attribute[0])
		})
	})
}

// areExtensions knows what stands behind the key: two identifiers, which nobody uses, and
// the extensions.
func areExtensions(text []byte) bool {
	return each(text, func(p part) bool {
		var list [1]part
		return p.tag != explicit3 || split(p.body, list[:], sequence) && each(list[0].body, func(p part) bool {
			var parts [3]part
			return p.tag == sequence && (split(p.body, parts[:], asn1.TagOID, asn1.TagOctetString) ||
				split(p.body, parts[:], asn1.TagOID, asn1.TagBoolean, asn1.TagOctetString)) && isOID(parts[0])
		})
	})
}

// isTrust knows what stands behind a TRUSTED CERTIFICATE (X509_CERT_AUX of OpenSSL): for
// what it is trusted and for what not, a name, and the identifier of its key.
func isTrust(text []byte) bool {
	outer, _ := element(text)
	return outer.tag == sequence && each(outer.body, func(p part) bool {
		return p.tag == sequence || p.tag == explicit0 || p.tag == asn1.TagUTF8String || p.tag == asn1.TagOctetString || p.tag == explicit1
	})
}
