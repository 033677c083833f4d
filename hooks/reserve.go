package hooks

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/strictjson"
	"github.com/symbolon-id/symbolon/link"
)

// reserve mints the ID of the user that the identity will have, so that Ory
// stores it in the identity's own insert. Once the key is right it always says
// 200 with a JSON object: a 4xx would refuse the registration, a 5xx delay it, and
// Ory reads no body but that of exactly 200.
func (h *Handler) reserve(w http.ResponseWriter, r *http.Request) {
	metadata, ok := readReserve(r)
	if !ok {
		h.observe("reserve", Unreadable)
		h.log().Warn("reserve: the body cannot be read; the registration goes on without a reserved ID")
		writeReserved(w, nothing)
		return
	}
	back := h.Linker.BackReference.WithDefaults()
	if h.Linker.Store.NewID() != symbolon.ByMint || back.Write == link.WriteNone || !mayExtend(metadata, back.Key) {
		h.observe("reserve", Passed)
		writeReserved(w, nothing)
		return
	}
	h.observe("reserve", Reserved)
	writeReserved(w, reserved(metadata, back, h.Linker.Mint()))
}

// nothing changes nothing. It must not be empty: Ory fails to parse an empty body,
// and the registration with it.
var nothing = []byte("{}")

func writeReserved(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// readReserve returns metadata_public as it stands in the body, nil for none.
func readReserve(r *http.Request) (json.RawMessage, bool) {
	body, err := answer.ReadJSON(r, MaxBody)
	if err != nil {
		return nil, false
	}
	return parseReserve(body)
}

func parseReserve(body []byte) (json.RawMessage, bool) {
	object, err := strictjson.Object(body)
	if err != nil {
		return nil, false
	}
	metadata := bytes.TrimSpace(object["metadata_public"])
	if string(metadata) == "null" {
		metadata = nil
	}
	return metadata, true
}

// mayExtend reports whether the metadata can be sent back with an ID in it. It
// must be an object without one, for an ID that came in stays, whatever it is; and
// without numbers that the Jsonnet which made the body has changed: it computes in
// float64, and what is sent back replaces what Ory has.
func mayExtend(metadata json.RawMessage, key string) bool {
	if len(metadata) == 0 {
		return true
	}
	var object map[string]json.RawMessage
	if metadata[0] != '{' || json.Unmarshal(metadata, &object) != nil {
		return false
	}
	if _, taken := object[key]; taken {
		return false
	}
	return exactNumbers(metadata)
}

const maxExact = 1 << 53 // the first integer whose neighbour float64 cannot tell apart

func exactNumbers(doc []byte) bool {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for {
		t, err := d.Token()
		if err != nil {
			return true // the end: the document is known to be valid
		}
		n, ok := t.(json.Number)
		if !ok {
			continue
		}
		i, err := strconv.ParseInt(n.String(), 10, 64)
		if err != nil || i >= maxExact || i <= -maxExact {
			return false
		}
	}
}

// reserved is what Ory merges into the identity: all that came in, byte for byte,
// and the ID.
func reserved(metadata json.RawMessage, back link.BackReference, id symbolon.UserID) []byte {
	key, _ := json.Marshal(back.Key)
	var b bytes.Buffer
	b.WriteString(`{"identity":{"metadata_public":{`)
	if inner := bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimPrefix(metadata, []byte("{")), []byte("}"))); len(inner) > 0 {
		b.Write(inner)
		b.WriteByte(',')
	}
	b.Write(key)
	b.WriteString(`:"` + string(id) + `"}`)
	if back.ExternalID {
		b.WriteString(`,"external_id":"` + string(id) + `"`)
	}
	b.WriteString(`}}`)
	return b.Bytes()
}
