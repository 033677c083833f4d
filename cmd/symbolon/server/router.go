package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon/internal/answer"
)

// route is one line of routes.go.
type route struct {
	method  string // GET includes HEAD; empty: the handler checks the method
	pattern string // in /admin/users/{id}, {id} matches any one segment; "..." at the end matches any rest
	handler http.Handler
}

// router matches paths byte for byte, in the order of the routes. http.ServeMux cannot be used: it
// cleans a path such as /auth/../me and redirects, so that the path that a proxy has checked and the
// path that is answered would differ. TestRouterMatchesBytes and TestRawRequests prove this. A path
// is compared with about twenty routes, which takes too little time to justify a tree.
type router struct{ routes []route }

// newRouter makes a router. wrap wraps the handler of every pattern, and the answer to
// unknown paths, whose pattern is "".
func newRouter(routes []route, wrap func(pattern string, next http.Handler) http.Handler) *router {
	rt := &router{}
	for n, r := range routes {
		same := func(other route) bool { return other.pattern == r.pattern }
		if slices.IndexFunc(routes, same) < n {
			continue // the first route of a pattern has added all its methods
		}
		h := r.handler
		if r.method != "" {
			h = answer.Methods(handlers(routes, r.pattern))
		}
		rt.routes = append(rt.routes, route{pattern: r.pattern, handler: wrap(r.pattern, h)})
	}
	rt.routes = append(rt.routes, route{handler: wrap("", http.HandlerFunc(noRoute))})
	return rt
}

// handlers are the handlers of one pattern by method.
func handlers(routes []route, pattern string) map[string]http.Handler {
	out := map[string]http.Handler{}
	for _, r := range routes {
		if r.pattern == pattern {
			out[r.method] = r.handler
		}
	}
	return out
}

func noRoute(w http.ResponseWriter, _ *http.Request) {
	answer.Write(w, answer.New(404, answer.NotFound, "There is no such path."))
}

func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	for _, known := range rt.routes {
		if known.pattern == "" || match(known.pattern, path, r) {
			known.handler.ServeHTTP(w, r)
			return
		}
	}
}

// match compares a path segment by segment, and sets the path values of r.
func match(pattern, path string, r *http.Request) bool {
	if pattern == path {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(path, prefix)
	}
	if !strings.Contains(pattern, "{") || strings.Count(pattern, "/") != strings.Count(path, "/") {
		return false
	}
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	for i, segment := range want {
		name, isName := strings.CutPrefix(segment, "{")
		if !isName {
			if segment != got[i] {
				return false
			}
			continue
		}
		value, err := url.PathUnescape(got[i])
		if err != nil || value == "" {
			return false
		}
		r.SetPathValue(strings.TrimSuffix(name, "}"), value)
	}
	return true
}
