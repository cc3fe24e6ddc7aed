package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// noCertificate says what a text without a certificate is instead, by the labels of its
// blocks and by its bytes.
func noCertificate(text []byte, labels map[string]bool) error {
	if err := otherFormat(text, "certificate"); err != nil {
		return err
	}
	for _, l := range []struct{ label, text, hint string }{
		{"PKCS7", "it is PKCS #7", "convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem"},
		{"CMS", "it is PKCS #7", "convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem"},
		{"CERTIFICATE REQUEST", "it holds a certificate request and no certificate", "have a CA sign the request, and put its answer there"},
		{"NEW CERTIFICATE REQUEST", "it holds a certificate request and no certificate", "have a CA sign the request, and put its answer there"},
		{"X509 CRL", "it holds a revocation list and no certificate", "put the certificates there"},
	} {
		if labels[l.label] {
			return &PEMError{l.text, l.hint}
		}
	}
	for label := range labels {
		return &PEMError{fmt.Sprintf("it holds a %s and no certificate", label), "put the certificates there, in PEM"}
	}
	return &PEMError{"no CERTIFICATE block is in it", "put the certificates there, in PEM"}
}

// noKey is noCertificate of a key.
func noKey(text []byte, labels map[string]bool) error {
	if err := otherFormat(text, "private key"); err != nil {
		return err
	}
	switch {
	case labels["OPENSSH PRIVATE KEY"]:
		return &PEMError{"it is a key of OpenSSH", "convert a copy of it: ssh-keygen -p -m PKCS8 -f COPY"}
	case labels["PUBLIC KEY"]:
		return &PEMError{"it holds a public key and no private key", "put the private key there"}
	}
	for label := range labels {
		return &PEMError{fmt.Sprintf("it holds a %s and no private key", label), "put the private key there, in PEM"}
	}
	return &PEMError{"no PRIVATE KEY block is in it", "put the private key there, in PEM"}
}

// otherFormat names a format that is not PEM, and the command that makes PEM of it; nil
// for a text that it does not know.
func otherFormat(text []byte, what string) error {
	begin := bytes.Index(text, []byte("-----BEGIN "))
	escaped := bytes.Index(text, []byte(`-----\n`))
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return &PEMError{"it is empty", "put the " + what + " there, in PEM"}
	case bytes.HasPrefix(text, []byte{0xff, 0xfe}), bytes.HasPrefix(text, []byte{0xfe, 0xff}), bytes.Contains(text, []byte("B\x00E\x00G\x00I\x00N\x00")):
		return &PEMError{"it is text in UTF-16, as Windows writes it", "convert it: iconv -f UTF-16 -t UTF-8 FILE > FILE.pem"}
	case begin >= 0 && escaped > begin:
		return &PEMError{`its line ends are written as \n, as in JSON`, `convert it: sed 's/\\n/\n/g' FILE > FILE.pem`}
	case begin >= 0 && bytes.IndexByte(text, '\n') < 0 && bytes.IndexByte(text, '\r') >= 0:
		return &PEMError{"its lines end in a carriage return alone", `convert it: tr '\r' '\n' < FILE > FILE.pem`}
	case begin >= 0 && indented(text[:begin]):
		return &PEMError{"its lines are indented, and a block begins at the beginning of a line", `convert it: sed 's/^[ \t]*//' FILE > FILE.pem`}
	}
	if err := binaryFormat(text); err != nil {
		return err
	}
	if der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(text), nil))); err == nil && binaryFormat(der) != nil {
		return &PEMError{"it is the base64 of a " + what + ", without the lines BEGIN and END around it", "convert it: base64 -d FILE > FILE.der, and openssl x509 -inform DER -in FILE.der -out FILE.pem (for a key, openssl pkey)"}
	}
	return nil
}

// indented says whether before ends with the blanks of an indented line.
func indented(before []byte) bool {
	trimmed := bytes.TrimRight(before, " \t")
	return len(trimmed) < len(before) && (len(trimmed) == 0 || trimmed[len(trimmed)-1] == '\n')
}

// Object identifiers as they are written (RFC 2315, section 14).
var (
	pkcs7Data   = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")
	pkcs7Signed = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
)

func binaryFormat(text []byte) error {
	der := outermost(text)
	if der == nil {
		return jks(text)
	}
	outer, _ := element(der)
	first, rest := element(outer.body)
	second, _ := element(rest)
	switch _, err := x509.ParseCertificate(der); {
	case err == nil || standIn(der) != nil:
		return &PEMError{"it is DER, not PEM", "convert it: openssl x509 -inform DER -in FILE -out FILE.pem"}
	case bytes.HasPrefix(outer.body, pkcs7Signed):
		return &PEMError{"it is PKCS #7 in DER, not PEM", "convert it: openssl pkcs7 -inform DER -print_certs -in FILE -out FILE.pem"}
	case first.tag == 2 && bytes.HasPrefix(second.body, pkcs7Data):
		return &PEMError{"it is PKCS #12, not PEM", "convert it: openssl pkcs12 -in FILE -nodes -out FILE.pem, and protect the key in it by its mode"}
	case first.tag == 2:
		return &PEMError{"it is a key in DER, not PEM", "convert it: openssl pkey -inform DER -in FILE -out FILE.pem"}
	}
	return nil
}

// jks knows a key store of Java.
func jks(text []byte) error {
	if len(text) >= 4 && binary.BigEndian.Uint32(text) == 0xfeedfeed {
		return &PEMError{"it is a key store of Java, not PEM", "convert it: keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12, and openssl pkcs12 -in FILE.p12 -nodes -out FILE.pem"}
	}
	return nil
}
