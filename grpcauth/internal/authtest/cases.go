package authtest

import (
	"fmt"
	"net/http"
)

// Case is a set of credentials that a client may send.
type Case struct {
	Name   string
	Header http.Header
}

const cookieName = "ory_kratos_session="

// Cases returns all subsets of three credentials of three people, and credentials that are
// sent twice, malformed or under other names. Each case must get the answer that
// [World.HTTP] gives.
func Cases(w *World) []Case {
	header, cookie, bearer := w.User(), w.User(), w.User()
	byHeader, byCookie, byBearer := header.Token, cookieName+cookie.Cookie, "Bearer "+bearer.Token
	var cases []Case
	for set := range 8 {
		h := http.Header{}
		if set&1 != 0 {
			h["X-Session-Token"] = []string{byHeader}
		}
		if set&2 != 0 {
			h["Cookie"] = []string{"a=b; " + byCookie}
		}
		if set&4 != 0 {
			h["Authorization"] = []string{byBearer}
		}
		cases = append(cases, Case{fmt.Sprintf("subset %03b", set), h})
	}
	add := func(name string, pairs ...string) {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		cases = append(cases, Case{name, h})
	}
	const token, auth = "X-Session-Token", "Authorization"
	add("token twice alike", token, byHeader, token, byHeader)
	add("token twice different", token, byHeader, token, bearer.Token)
	add("token twice different, and a cookie", token, byHeader, token, bearer.Token, "Cookie", byCookie)
	add("token empty, and a Bearer", token, "", auth, byBearer)
	add("token with a space", token, "a b")
	add("token of nobody", token, "ory_st_nobody", "Cookie", byCookie, auth, byBearer)
	add("cookie twice different", "Cookie", byCookie+"; "+cookieName+header.Cookie)
	add("cookie in two headers, different", "Cookie", byCookie, "Cookie", cookieName+header.Cookie)
	add("cookie in two headers, different, and a Bearer", "Cookie", byCookie, "Cookie", cookieName+header.Cookie, auth, byBearer)
	add("cookie of nobody, and a Bearer", "Cookie", cookieName+"YWJj", auth, byBearer)
	add("cookie that is none", "Cookie", cookieName+"%%%", auth, byBearer)
	add("other cookies, and a Bearer", "Cookie", "a=b; c=d", auth, byBearer)
	add("bearer twice different", auth, byBearer, auth, "Bearer "+header.Token)
	add("bearer of the application", auth, "Bearer eyJhbGciOiJFUzI1NiJ9.e30.x")
	add("bearer of the application, and a cookie", auth, "Bearer eyJhbGciOiJFUzI1NiJ9.e30.x", "Cookie", byCookie)
	add("basic", auth, "Basic b3J5X3N0Xzp4")
	add("identity headers", "X-User-Id", string(header.User), "X-Identity-Id", header.IdentityID)
	add("identity headers of somebody else", token, byHeader, "X-User-Id", string(bearer.User))
	return cases
}
