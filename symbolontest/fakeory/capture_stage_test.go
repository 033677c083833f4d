package fakeory_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

type setting func(s *stage) (path string, headers []string)

func nothing(*stage) (string, []string) { return "", nil }

func having(bodies ...string) setting {
	return func(s *stage) (string, []string) {
		for _, body := range bodies {
			s.make(body)
		}
		return "", nil
	}
}

func havingExternal(id string) setting {
	return func(s *stage) (string, []string) {
		if s.generation == fakeory.V26 {
			s.make(made("ext@x.example", `,"metadata_public":{"id":"e"},"external_id":"`+id+`"`))
		}
		return "", nil
	}
}

func identity(body string) setting {
	return func(s *stage) (string, []string) { return "/admin/identities/" + s.make(body), nil }
}

// revoke revokes a session, or all sessions of the identity, or deletes the identity.
func (s *stage) revoke(what string) {
	s.Helper()
	at := map[string]string{"session": "/admin/sessions/" + s.ada.SessionID, "identity": "/admin/identities/" + s.ada.IdentityID,
		"sessions": "/admin/identities/" + s.ada.IdentityID + "/sessions"}[what]
	expect(s.T, 204, "", "DELETE", s.AdminURL+at, "")
}

func session(query string, revoked ...string) setting {
	return func(s *stage) (string, []string) {
		s.signUp()
		for _, what := range revoked {
			s.revoke(what)
		}
		return "/admin/sessions/" + s.ada.SessionID + query, nil
	}
}

func sessionsOf(revoked ...string) setting {
	return func(s *stage) (string, []string) {
		s.signUp()
		for range 3 {
			if _, err := s.Login(s.Context(), s.ada.Email, password); err != nil {
				s.Fatal(err)
			}
		}
		for _, what := range revoked {
			s.revoke(what)
		}
		return "/admin/identities/" + s.ada.IdentityID + "/sessions", nil
	}
}

// signUpBare creates a person without a name and without metadata.
func (s *stage) signUpBare() {
	s.Helper()
	s.make(made("inact@x.example", `,"credentials":{"password":{"config":{"password":"`+password+`"}}}`))
	p, err := s.Login(s.Context(), "inact@x.example", password)
	if err != nil {
		s.Fatal(err)
	}
	s.ada = p
}

// asked is a whoami with these credentials after these events. The word junk makes the
// credential after it invalid.
func asked(words ...string) setting {
	return func(s *stage) (string, []string) {
		if slices.Contains(words, "thaw") {
			s.signUpBare()
		} else {
			s.signUp()
		}
		cookie, err := s.LoginBrowser(s.Context(), s.ada.Email, password)
		if err != nil {
			s.Fatal(err)
		}
		var headers []string
		for _, word := range words {
			switch word {
			case "X-Session-Token":
				headers = append(headers, word, s.ada.Token)
			case "Authorization":
				headers = append(headers, word, "Bearer "+s.ada.Token)
			case "Cookie":
				headers = append(headers, word, cookie.Name+"="+cookie.Value)
			case "Cookie junk":
				headers = append(headers, "Cookie", cookie.Name+"=junk")
			case "X-Session-Token junk":
				headers = append(headers, "X-Session-Token", "ory_st_junk")
			case "Authorization junk":
				headers = append(headers, "Authorization", "Bearer junk")
			default:
				s.happen(word)
			}
		}
		return "", headers
	}
}

func (s *stage) happen(event string) {
	s.Helper()
	state := map[string]string{"freeze": "inactive", "thaw": "active"}[event]
	what, revoke := strings.CutPrefix(event, "revoke ")
	switch {
	case revoke:
		s.revoke(what)
	case state != "":
		ops := json.RawMessage(`[{"op":"replace","path":"/state","value":"` + state + `"}]`)
		if err := s.PatchIdentity(s.Context(), s.ada.IdentityID, ops); err != nil {
			s.Fatal(err)
		}
	default:
		s.RequireSecondFactor(s.ada.IdentityID)
	}
}

// TestCapturedListings compares the Link headers and the number of rows.
func TestCapturedListings(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, g fakeory.Generation) {
		s := newStage(t, g, fakeory.Hooks{})
		var ids []string
		for n := range 5 {
			ids = append(ids, s.make(made(fmt.Sprintf("list-%d@x.example", n), `,"metadata_public":{"id":"a"}`)))
		}
		for _, name := range []string{"list-page-first", "list-ids", "list-page-last"} {
			var c capture
			load(t, g, name, &c)
			path := c.Request.Path
			switch name {
			case "list-ids":
				path = "/admin/identities?ids=" + ids[0] + "&ids=" + ids[1] + "&ids=9d0c3c2a-7a54-4c1e-9a35-0f5b6a1d2e3f"
			case "list-page-last":
				path = "/admin/identities?page_size=2&page_token=" + s.fourth()
			}
			s.repeat(c, path)
		}
		for n := range 1100 {
			s.make(made(fmt.Sprintf("many-%d@x.example", n), ""))
		}
		for _, name := range []string{"list-page-size-1000", "list-page-size-default"} {
			var c struct {
				capture
				Rows int `json:"response_rows"`
			}
			load(t, g, name, &c)
			got := ask(t, "GET", s.AdminURL+c.Request.Path, "")
			if rows := strings.Count(got.text, `"schema_url"`); rows != c.Rows {
				t.Errorf("%s: %d rows, captured %d", name, rows, c.Rows)
			}
			s.compareHeaders(got, c.Response)
		}
	})
}

// fourth is the ID after which one identity is left.
func (s *stage) fourth() string {
	s.Helper()
	var rows []struct{ ID string }
	text := ask(s.T, "GET", s.AdminURL+"/admin/identities?page_size=4", "").text
	if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) != 4 {
		s.Fatalf("%s: %v", text, err)
	}
	return rows[3].ID
}

// TestCapturedOutages compares the answers while the database is down, and while a table
// is broken.
func TestCapturedOutages(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, g fakeory.Generation) {
		s := newStage(t, g, fakeory.Hooks{})
		p := s.signUp()
		token := []string{"X-Session-Token", p.Token}
		paths := map[string]string{"response": "/sessions/whoami", "admin_get_identity": "/admin/identities/" + p.IdentityID,
			"admin_patch": "/admin/identities/" + p.IdentityID, "admin_get_session": "/admin/sessions/" + p.SessionID, "sessions_get": "/admin/sessions/" + p.SessionID}
		for name, fault := range map[string]fakeory.Fault{"whoami-db-down-401": fakeory.DatabaseDown{}, "whoami-db-table-missing": fakeory.TableBroken{}} {
			repair := s.Break(fault)
			var whole map[string]json.RawMessage
			load(t, g, name, &whole)
			for _, part := range []string{"ready", "ready_public", "alive", "admin_get_identity", "admin_get_session", "admin_list", "admin_patch", "whoami_none", "sessions_get"} {
				var c capture
				if whole[part] == nil || json.Unmarshal(whole[part], &c) != nil {
					continue
				}
				path := paths[part]
				if path == "" {
					path = c.Request.Path
				}
				s.repeat(c, path)
			}
			var c capture
			load(t, g, name, &c)
			s.repeat(c, "/sessions/whoami", token...)
			repair()
		}
		if _, status, err := s.Whoami(t.Context(), p.Token); status != http.StatusOK {
			t.Errorf("mended: %d, %v", status, err)
		}
	})
}
