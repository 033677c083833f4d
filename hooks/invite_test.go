package hooks

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

// TestReserveInvited checks the answers to a sign-up form with an invite. Only a good invite is
// answered with its user, and never with external_id. The body is that of the printed Jsonnet.
func TestReserveInvited(t *testing.T) {
	minter := mint.NewMinter("default", testSecrets...)
	invite := func(at time.Duration) string {
		text, err := minter.Invite("42", time.Now().Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	free := symbolon.Claimed{Row: &symbolon.Row{ID: "42"}}
	for _, tt := range []struct {
		name     string
		payload  string // the form's transient_payload
		metadata string
		known    symbolon.Claimed
		err      error
		write    link.Write
		want     string // MINTED is an ID of our own, ACCEPTED and REFUSED are proofs for the invite's user
		outcome  string
	}{
		{name: "good", payload: invite(time.Hour), known: free, outcome: Invited, want: `{"identity":{"metadata_public":{"id":"42","id_invited":"ACCEPTED"}}}`},
		{name: "others' metadata", payload: invite(time.Hour), metadata: `{"plan":"gold"}`, known: free, outcome: Invited, want: `{"identity":{"metadata_public":{"plan": "gold","id":"42","id_invited":"ACCEPTED"}}}`},
		{name: "nothing is written at Ory", payload: invite(time.Hour), known: free, write: link.WriteNone, outcome: Invited, want: `{"identity":{"metadata_public":{"id_invited":"ACCEPTED"}}}`},
		{name: "the database is down", payload: invite(time.Hour), err: symbolon.ErrUnavailable, outcome: Invited, want: `{"identity":{"metadata_public":{"id_invited":"ACCEPTED"}}}`},
		{name: "expired", payload: invite(-time.Second), known: free, outcome: Uninvited, want: `{"identity":{"metadata_public":{"id":"MINTED","id_invited":"REFUSED"},"external_id":"MINTED"}}`},
		{name: "the user has an identity", payload: invite(time.Hour), known: symbolon.Claimed{Row: &symbolon.Row{ID: "42", Identity: ann}}, outcome: Uninvited,
			want: `{"identity":{"metadata_public":{"id":"MINTED","id_invited":"REFUSED"},"external_id":"MINTED"}}`},
		{name: "refused, nothing is written at Ory", payload: invite(-time.Second), write: link.WriteNone, outcome: Uninvited, want: `{"identity":{"metadata_public":{"id_invited":"REFUSED"}}}`},
		{name: "forged", payload: invite(time.Hour) + "A", known: free, outcome: Uninvited, want: `{"identity":{"metadata_public":{"id":"MINTED"},"external_id":"MINTED"}}`},
		{name: "an ID is there", payload: invite(time.Hour), metadata: `{"id":"7"}`, known: free, outcome: Uninvited, want: `{}`},
		{name: "a proof is there", payload: invite(time.Hour), metadata: `{"id_invited":"x"}`, known: free, outcome: Uninvited, want: `{}`},
		{name: "too long", payload: strings.Repeat("x", 513), known: free, outcome: Reserved, want: `{"identity":{"metadata_public":{"id":"MINTED"},"external_id":"MINTED"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, store := newHandler(&admin{})
			h.Linker.Store = hosting{store, tt.known, tt.err}
			h.Linker.BackReference.ExternalID = true
			if tt.write != "" {
				h.Linker.BackReference.Write = tt.write
			}
			outcome := ""
			h.Observe = func(_, o string) { outcome = o }
			if tt.metadata == "" {
				tt.metadata = "null"
			}
			body := evaluate(t, reserveBody, fmt.Appendf(nil, `{"identity":{"metadata_public":%s},"flow":{"transient_payload":{"symbolon_invite":%q}}}`, tt.metadata, tt.payload))
			w := post(h.Reserve(), "/hooks/reserve", DeriveKeys(testSecrets).Reserve[0], string(body))
			if got := masked(minter, w.Body.String()); w.Code != 200 || got != tt.want || outcome != tt.outcome {
				t.Errorf("got  %d %s, outcome %s\nwant %s, outcome %s", w.Code, got, outcome, tt.want, tt.outcome)
			}
		})
	}
}

// masked replaces the minted ID and the proof of an answer by what they are.
func masked(m *mint.Minter, answer string) string {
	var body struct {
		Identity struct {
			Metadata map[string]string `json:"metadata_public"`
		} `json:"identity"`
	}
	_ = json.Unmarshal([]byte(answer), &body)
	if id := body.Identity.Metadata["id"]; m.Minted(symbolon.UserID(id)) {
		answer = strings.ReplaceAll(answer, id, "MINTED")
	}
	proof := body.Identity.Metadata["id_invited"]
	if i, ok := m.ReadInvited(proof); ok && i.User == "42" {
		word := "ACCEPTED"
		if i.At.IsZero() {
			word = "REFUSED"
		} else if time.Since(i.At) > time.Minute {
			word = "OLD"
		}
		answer = strings.ReplaceAll(answer, proof, word)
	}
	return answer
}

// TestInviteInTheBodies checks which values of a form the reserve hook gets, and that the body of
// the link hook has the proof and the time by which it is judged.
func TestInviteInTheBodies(t *testing.T) {
	for payload, want := range map[string]string{`{"symbolon_invite":"i1.x"}`: "i1.x", `{"symbolon_invite":7}`: "", `{"symbolon_invite":{"a":1}}`: "", `"i1.x"`: "", `null`: "", `{}`: "", `["i1.x"]`: ""} {
		for _, body := range []string{reserveBody, reserveBodyWhen} {
			if _, invite, ok := parseReserve(evaluate(t, body, []byte(`{"identity":{},"flow":{"transient_payload":`+payload+`}}`))); !ok || invite != want {
				t.Errorf("%s: %q, %v", payload, invite, ok)
			}
		}
	}
	identity, err := parseLink(evaluate(t, linkBody("id", nil, false, false),
		fmt.Appendf(nil, `{"identity":{"id":%q,"created_at":"2026-11-23T12:00:00Z","metadata_public":{"id":"42","id_invited":"b1.x"}}}`, ann)), "id")
	if err != nil || string(identity.MetadataPublic) != `{"id":"42","id_invited":"b1.x"}` || identity.CreatedAt.IsZero() {
		t.Errorf("%+v %v", identity, err)
	}
	a := testActions()
	a.NewID = symbolon.ByIdentity
	if a.Reserves() {
		t.Error("the reserve hook is printed for nothing")
	}
	if a.Invites = true; !a.Reserves() {
		t.Error("the reserve hook is left out, and invites need it")
	}
}
