package authority

import (
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/certificates/logging"
)

// logged serves next and logs what came of a request that changed something or
// was refused; every other one for debugging alone.
//
// step-ca's handlers leave what they know in the response writer. Only the
// fields named here are taken from it: among the others is the one-time token.
func logged(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Debug("request", "method", r.Method, "path", r.URL.Path)
		rw := logging.NewResponseLogger(w)
		next.ServeHTTP(rw, r)
		client, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			client = r.RemoteAddr
		}
		fields := rw.Fields()
		if rw.StatusCode() >= http.StatusBadRequest {
			log.Warn("request refused", "path", r.URL.Path, "status", rw.StatusCode(),
				"error", errorText(fields), "client", client, "request_id", rw.Header().Get("X-Request-Id"))
			return
		}
		what, cert := change(r.URL.Path), certificate(fields)
		if what == "" || cert == nil {
			return
		}
		log.Info("certificate "+what, "names", names(cert), "serial", cert.SerialNumber.String(),
			"not_after", cert.NotAfter.UTC().Format(time.RFC3339), "provisioner", fields["provisioner"], "client", client)
	})
}

// certificate returns the one that the request was about; nil if there is none.
func certificate(fields map[string]any) *x509.Certificate {
	text, ok := fields["certificate"].(string)
	if !ok {
		return nil
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	return cert
}

// names returns what cert is good for, separated by commas.
func names(cert *x509.Certificate) string {
	list := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		list = append(list, ip.String())
	}
	for _, u := range cert.URIs {
		list = append(list, u.String())
	}
	return strings.Join(list, ",")
}

// change says what a successful request to path did with a certificate; "" if
// nothing.
func change(path string) string {
	switch strings.TrimPrefix(path, "/1.0") {
	case "/sign":
		return "issued"
	case "/renew", "/re-sign":
		return "renewed"
	case "/rekey":
		return "rekeyed"
	case "/revoke":
		return "revoked"
	}
	// ACME signs at .../finalize, but tells about it where the certificate is
	// fetched.
	if strings.Contains(path, "/acme/") && strings.Contains(path, "/certificate/") {
		return "issued"
	}
	return ""
}

func errorText(fields map[string]any) string {
	if err, ok := fields["error"].(error); ok {
		return err.Error()
	}
	return ""
}
