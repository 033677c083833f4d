package extauthz

import (
	"cmp"
	"net/http"
	"strings"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
)

// read returns the client's header in canonical form, and the names as they were sent.
//
// With encode_raw_headers Envoy sends each header by itself. Otherwise it joins the headers
// of one name by commas, even cookies and headers that may not contain a comma.
func (s *Server) read(asked *authv3.AttributeContext_HttpRequest) (http.Header, []string) {
	header := http.Header{}
	var names []string
	add := func(name string, values ...string) {
		if strings.HasPrefix(name, ":") {
			return
		}
		names = append(names, name)
		key := http.CanonicalHeaderKey(name)
		header[key] = append(header[key], values...)
	}
	if raw := asked.GetHeaderMap().GetHeaders(); len(raw) > 0 {
		for _, h := range raw {
			add(h.GetKey(), cmp.Or(string(h.GetRawValue()), h.GetValue()))
		}
		return header, names
	}
	for name, joined := range asked.GetHeaders() {
		switch http.CanonicalHeaderKey(name) {
		case "X-Session-Token", "Authorization": // Ory's tokens have no comma
			add(name, strings.Split(joined, ",")...)
		default:
			add(name, joined)
		}
	}
	s.dropAmbiguous(header)
	return header, names
}

// dropAmbiguous removes the session cookie if joined cookies give one session when they are
// read as one header, and another session when they are read as several headers. One of the
// two may be somebody else's session.
func (s *Server) dropAmbiguous(header http.Header) {
	if !strings.Contains(header.Get("Cookie"), ",") {
		return
	}
	apart := header.Clone()
	apart["Cookie"] = strings.Split(header.Get("Cookie"), ",")
	one, _ := s.Auth.Verifier.Credential(header)
	other, _ := s.Auth.Verifier.Credential(apart)
	if one != other {
		delete(header, "Cookie")
		delete(header, "Authorization")
	}
}
