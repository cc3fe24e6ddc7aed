package authority

import (
	"log/slog"
	"net"
	"net/http"
	"strings"

	"github.com/smallstep/certificates/logging"
)

// logged serves next and logs what came of a request that changed something or
// was refused.
//
// step-ca's handlers leave what they know in the response writer. Only the
// fields named here are taken from it: among the others is the one-time token.
func logged(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		what := deed(r.URL.Path)
		if what == "" || fields["serial"] == nil {
			return
		}
		log.Info("certificate "+what, "names", fields["sans"], "serial", fields["serial"],
			"not_after", fields["valid-to"], "provisioner", fields["provisioner"], "client", client)
	})
}

// deed says what a successful request to path did with a certificate; "" if
// nothing.
func deed(path string) string {
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
