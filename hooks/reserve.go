package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/strictjson"
	"github.com/symbolon-id/symbolon/link"
	"github.com/symbolon-id/symbolon/mint"
)

// reserve mints or draws the ID of the identity's future user, so that Ory stores the ID when
// it inserts the identity. With an invite in the sign-up form it is the ID of the invite's user. If the key is right, reserve always answers 200 and a JSON object:
// a 4xx would refuse the registration, a 5xx would delay it, and Ory reads the body of a
// 200 only.
func (h *Handler) reserve(w http.ResponseWriter, r *http.Request) {
	identity, invite, ok := readReserve(r)
	if !ok {
		h.observe("reserve", Unreadable)
		h.log().Warn("reserve: the body cannot be read; the registration goes on without a reserved ID")
		writeReserved(w, noChange)
		return
	}
	back, metadata := h.Linker.BackReference.WithDefaults(), identity.MetadataPublic
	if back.Write == link.WriteNone && invite == "" || !mayExtend(metadata, back.Key) {
		outcome := Passed
		if invite != "" {
			outcome = Uninvited
			h.log().Warn("reserve: an invite had no effect, because metadata_public cannot be extended")
		}
		h.observe("reserve", outcome)
		writeReserved(w, noChange)
		return
	}
	var outcome string
	var body []byte
	if invite == "" {
		outcome, body = h.reservation(r.Context(), identity, back)
	} else {
		outcome, body = h.invited(r.Context(), identity, back, invite)
	}
	h.observe("reserve", outcome)
	writeReserved(w, body)
}

// reservation returns the outcome and the body of the answer.
func (h *Handler) reservation(ctx context.Context, identity symbolon.Identity, back link.BackReference) (outcome string, body []byte) {
	id, err := h.Linker.Reserve(ctx, identity)
	switch {
	case err != nil:
		h.log().Warn("reserve: no ID could be drawn from the database; the registration goes on without a reserved ID", "error", err)
		return Undrawn, noChange
	case id.User == "":
		return Passed, noChange
	}
	return Reserved, reserved(identity.MetadataPublic, back, id)
}

// invited returns the outcome and the body of the answer to a sign-up with an invite.
func (h *Handler) invited(ctx context.Context, identity symbolon.Identity, back link.BackReference, invite string) (outcome string, body []byte) {
	id, err := h.Linker.ReserveInvited(ctx, identity, invite)
	if err != nil {
		h.log().Warn("reserve: the registration goes on without a reserved ID and without its invite", "error", err)
		return Undrawn, noChange
	}
	if back.Write == link.WriteNone {
		id.User, id.Proof = "", ""
	}
	outcome = Uninvited
	if id.Accepted {
		outcome, back.ExternalID = Invited, false
	}
	if id.User == "" && id.Invited == "" {
		return outcome, noChange
	}
	return outcome, reserved(identity.MetadataPublic, back, id)
}

// noChange is the body that leaves the registration as it is. It must not be empty, because
// Ory cannot parse an empty body and then refuses the registration.
var noChange = []byte("{}")

func writeReserved(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// readReserve returns the identity as far as the body has it: metadata_public, which is nil if
// the body has none, and what Linker.When decides by. It also returns the invite of the sign-up
// form, which is empty if there is none.
func readReserve(r *http.Request) (identity symbolon.Identity, invite string, ok bool) {
	body, err := answer.ReadJSON(r, MaxBody)
	if err != nil {
		return symbolon.Identity{}, "", false
	}
	return parseReserve(body)
}

func parseReserve(body []byte) (identity symbolon.Identity, invite string, ok bool) {
	if strictjson.Check(body) != nil {
		return identity, "", false
	}
	err := strictjson.Each(body, func(name, value []byte) {
		switch string(name) {
		case "metadata_public":
			if !strictjson.IsNull(value) {
				identity.MetadataPublic = value
			}
		case "invite":
			invite, _ = strictjson.Text(value)
		case "schema_id":
			identity.SchemaID, _ = strictjson.Text(value)
		case "verified":
			if string(value) == "true" {
				identity.Addresses = verifiedSomehow
			}
		}
	})
	return identity, invite, err == nil
}

// verifiedSomehow are the addresses of an identity of which a hook says only that Ory has
// verified one of them. The entry is neither an e-mail address nor a telephone number.
var verifiedSomehow = []symbolon.Address{{Via: "unknown", Verified: true}}

// mayExtend reports whether the metadata can be sent back with an ID added. It must be an
// object without the key, because an existing ID is never replaced, and without the keys of
// the proofs. It must also have no number that the hook's Jsonnet may have rounded to float64, because the answer replaces
// the metadata that Ory has.
func mayExtend(metadata json.RawMessage, key string) bool {
	if len(metadata) == 0 {
		return true
	}
	taken := false
	err := strictjson.Each(metadata, func(name, _ []byte) { taken = taken || mint.Ours(name, key) })
	return err == nil && !taken && exactNumbers(metadata)
}

const maxExact = 1 << 53 // from this number on float64 cannot represent every integer

func exactNumbers(doc []byte) bool {
	for number := range strictjson.Numbers(doc) {
		i, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil || i >= maxExact || i <= -maxExact {
			return false
		}
	}
	return true
}

// reserved makes the answer that Ory merges into the identity: the received metadata, byte
// for byte, the ID and the proofs.
func reserved(metadata json.RawMessage, back link.BackReference, id link.Reservation) []byte {
	user := `"` + string(id.User) + `"` // a minted ID has no character to escape
	if id.Proof != "" || id.Accepted {
		user = quoted(string(id.User))
	}
	var b bytes.Buffer
	b.WriteString(`{"identity":{"metadata_public":{`)
	if inner := bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimPrefix(metadata, []byte("{")), []byte("}"))); len(inner) > 0 {
		b.Write(inner)
		b.WriteByte(',')
	}
	if id.User != "" {
		b.WriteString(quoted(back.Key) + ":" + user)
	}
	if id.Proof != "" {
		b.WriteString("," + quoted(mint.ReservedKey(back.Key)) + ":" + quoted(id.Proof))
	}
	if id.Invited != "" {
		if id.User != "" {
			b.WriteByte(',')
		}
		b.WriteString(quoted(mint.InvitedKey(back.Key)) + ":" + quoted(id.Invited))
	}
	b.WriteByte('}')
	if back.ExternalID && id.User != "" {
		b.WriteString(`,"external_id":` + user)
	}
	b.WriteString(`}}`)
	return b.Bytes()
}
