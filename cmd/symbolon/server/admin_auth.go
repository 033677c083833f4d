package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// operatorOnly guards the operator's side.
//
// With a key every request shows it as "Authorization: Bearer KEY". Without one
// the listener is on loopback, and what is left to keep out is a browser on the
// same machine that runs a stranger's page, and a proxy that passes the world in.
func operatorOnly(key config.Hidden, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(key.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.EscapedPath() == "/healthz": // says nothing, decides nothing
		case key != "" && !holdsKey(r.Header, want):
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, "The operator's key is missing or wrong.")
			return
		case key == "" && !local(r):
			refuse(w, "Without a key the operator's side answers only programs on its own machine: configure serve.admin_key.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, message string) {
	w.Header().Set("Connection", "close") // do not read what a stranger sends
	answer.Write(w, answer.New(401, answer.Unauthenticated, message))
}

// holdsKey compares digests of one length in constant time.
func holdsKey(h http.Header, want [sha256.Size]byte) bool {
	values := h.Values("Authorization")
	given, isBearer := "", false
	if len(values) == 1 {
		given, isBearer = strings.CutPrefix(values[0], "Bearer ")
	}
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], want[:]) == 1 && isBearer
}

// local reports whether a request comes from a program on this machine and from no
// page of another site. A page whose name was rebound to 127.0.0.1 still names
// itself in Host.
func local(r *http.Request) bool {
	for _, passedOn := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(passedOn) != "" {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host != r.Host {
			return false
		}
	}
	return loopbackHost(r.Host)
}

func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return config.IsLoopback(strings.ToLower(host))
}
