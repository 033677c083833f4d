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
// If a key is configured, every request must carry it as "Authorization: Bearer KEY".
// Otherwise the listener is on loopback. Two dangers remain there: a page of another site
// in a browser on this machine, and a proxy that forwards requests from elsewhere.
func operatorOnly(key config.Hidden, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(key.Reveal()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.EscapedPath() == "/healthz": // reveals nothing
		case key != "" && !holdsKey(r.Header, want):
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, "The operator's key is missing or wrong.")
			return
		case key == "" && !local(r):
			refuse(w, "Without a key, only programs on the server's own machine may use this API: configure serve.admin_key.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, message string) {
	w.Header().Set("Connection", "close") // the body was not read, so the connection cannot be used for another request
	answer.Write(w, answer.New(401, answer.Unauthenticated, message))
}

// holdsKey compares digests of equal length in constant time.
func holdsKey(h http.Header, want [sha256.Size]byte) bool {
	given, isBearer := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], want[:]) == 1 && isBearer && len(h.Values("Authorization")) == 1
}

// local reports whether a request comes from a program on this machine and not from a page of
// another site. If the name of such a page was rebound to 127.0.0.1, Host still holds that
// name, and loopbackHost refuses it.
func local(r *http.Request) bool {
	for _, forwarded := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if r.Header.Get(forwarded) != "" {
			return false
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" {
		return false
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
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
