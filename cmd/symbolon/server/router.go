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
	method  string // GET includes HEAD; empty: the handler decides
	pattern string // /admin/users/{id}: a segment in braces stands for any one segment; a last ... for whatever follows
	handler http.Handler
}

// router matches paths exactly, byte for byte as they came. The ServeMux of the
// standard library cleans paths and redirects: what a proxy judged and what is
// answered would be two different paths.
type router struct {
	routes []route
	wrap   func(pattern string, next http.Handler) http.Handler
}

// newRouter makes a router; wrap goes around every handler, and around the answer
// to unknown paths with the pattern "".
func newRouter(routes []route, wrap func(pattern string, next http.Handler) http.Handler) *router {
	rt := &router{wrap: wrap}
	for n, r := range routes {
		same := func(other route) bool { return other.pattern == r.pattern }
		if slices.IndexFunc(routes, same) < n {
			continue // went with the first one of the pattern
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

// handlers are those of one pattern, by their methods.
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

// match compares segment by segment and sets the path values of r.
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
