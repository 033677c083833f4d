package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/strictjson"
	"github.com/symbolon-id/symbolon/mint"
)

// link makes the user of an identity that Ory just stored. With an admin URL the body is a
// hint, and the identity is read at Ory. Without an admin URL the body itself is the
// reading, because only Ory has the key. With an admin URL and a Queue, the body is also
// used as the reading if the background's share of Ory's rate limit is used up; it makes only
// a user whose ID proves itself. A job of the Queue then reads the identity at Ory later. The body has no ticket. A reading without
// a ticket can make a user, but never change a user.
func (h *Handler) link(w http.ResponseWriter, r *http.Request) {
	identity, err := readLink(r, h.Linker.BackReference.WithDefaults().Key)
	if err != nil {
		h.fail(w, "link", Refused, err)
		return
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	body := symbolon.Reading{Identity: identity, Source: symbolon.FromLinkHook}
	if !h.Linker.Ory.HasAdmin() {
		_, err = h.Linker.Link(ctx, body)
	} else if err = h.reread(ctx, identity.ID, symbolon.FromLinkHook); (err == nil || errors.Is(err, symbolon.ErrDenied)) && len(identity.Transient) > 0 {
		_, err = h.Linker.Link(ctx, body) // the sign-up form is in the body only, and a denied row is written, too
	} else if (errors.Is(err, symbolon.ErrRateLimited) || len(identity.Transient) > 0 && errors.Is(err, symbolon.ErrUnavailable)) && h.Queue != nil {
		// The person does not wait for the reading; a job of the queue reads the identity
		// later. If the body proves the user, the user is made now.
		_, bodyErr := h.Linker.Link(symbolon.Background(ctx, 0), body)
		h.log().Debug("ory's rate limit is used up: tried to link the identity from the hook's body", "identity", identity.ID, "error", bodyErr)
	}
	h.reply(ctx, w, hint{"link", identity.ID, symbolon.FromLinkHook}, err)
}

// sync reads an identity at Ory again. Without an admin URL it does nothing.
func (h *Handler) sync(w http.ResponseWriter, r *http.Request) {
	id, err := readSync(r)
	if err != nil {
		h.fail(w, "sync", Refused, err)
		return
	}
	if !h.Linker.Ory.HasAdmin() {
		h.observe("sync", Ignored)
		answer.JSON(w, http.StatusOK, struct{}{})
		return
	}
	ctx, cancel := h.bounded(r.Context())
	defer cancel()
	h.reply(ctx, w, hint{"sync", id, symbolon.FromSyncHook}, h.reread(ctx, id, symbolon.FromSyncHook))
}

// hint is a hook's message that an identity is new or has changed.
type hint struct {
	route  string
	id     symbolon.IdentityID
	source symbolon.Source
}

// hintPatience is how long a hook waits for the background's share of Ory's rate limit.
const hintPatience = 250 * time.Millisecond

// reread reads an identity at Ory and links it. If the hint can be queued instead, reread
// uses only the background's share of Ory's rate limit, and leaves time to queue the hint.
func (h *Handler) reread(ctx context.Context, id symbolon.IdentityID, source symbolon.Source) error {
	if h.Queue != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(symbolon.Background(ctx, hintPatience), h.timeout()*3/4)
		defer cancel()
	}
	_, err := h.Linker.Refresh(ctx, id, source)
	return err
}

// reply answers 200 if nothing is left to do: the identity is linked, or gone, or gets no
// user, or its user is denied, or the hint is queued. It answers 503 for "don't know", so that Ory asks again.
func (h *Handler) reply(ctx context.Context, w http.ResponseWriter, t hint, err error) {
	outcome := Done
	switch {
	case err == nil:
	case errors.As(err, new(*symbolon.DenyError)):
		outcome = Denied
	case errors.Is(err, symbolon.ErrNotFound):
		outcome = Gone
	case h.enqueue(ctx, t):
		outcome = Queued
	default:
		h.log().Warn("hook could not be answered", "route", t.route, "identity", t.id, "error", err)
		h.fail(w, t.route, Undetermined, symbolon.ErrUnavailable)
		return
	}
	h.observe(t.route, outcome)
	answer.JSON(w, http.StatusOK, map[string]string{"status": outcome})
}

// enqueue reports whether Queue has stored the hint.
func (h *Handler) enqueue(ctx context.Context, t hint) bool {
	if h.Queue == nil {
		return false
	}
	err := h.Queue(ctx, t.id, t.source)
	if err != nil {
		h.log().Warn("hint could not be queued", "route", t.route, "identity", t.id, "error", err)
	}
	return err == nil
}

func readLink(r *http.Request, key string) (symbolon.Identity, error) {
	body, err := answer.ReadJSON(r, MaxBody)
	if err != nil {
		return symbolon.Identity{}, err
	}
	return parseLink(body, key)
}

func readSync(r *http.Request) (symbolon.IdentityID, error) {
	body, err := answer.ReadJSON(r, MaxBody)
	if err != nil {
		return "", err
	}
	object, err := strictjson.Object(body)
	if err != nil {
		return "", invalidJSON(err)
	}
	return identityID(object)
}

// parseLink reads the body that the Jsonnet of Actions sends:
//
//	{"identity_id": "…", "id": …, "external_id": …, "reserved": …, "schema_id": "…", "verified": …, "created_at": "…",
//	 "columns": {"traits.email": …}}
//
// and rebuilds that part of the identity.
func parseLink(body []byte, key string) (symbolon.Identity, error) {
	object, err := strictjson.Object(body)
	if err != nil {
		return symbolon.Identity{}, invalidJSON(err)
	}
	id, err := identityID(object)
	if err != nil {
		return symbolon.Identity{}, err
	}
	identity := symbolon.Identity{ID: id, State: symbolon.Active}
	columns, verified := map[string]json.RawMessage{}, false
	err = errors.Join(optional(object, "external_id", &identity.ExternalID),
		optional(object, "schema_id", &identity.SchemaID),
		optional(object, "verified", &verified),
		optional(object, "created_at", &identity.CreatedAt),
		optional(object, "columns", &columns))
	if err != nil {
		return symbolon.Identity{}, err
	}
	if back := object["id"]; !strictjson.IsNull(back) {
		columns["metadata_public."+key] = back
	}
	if proof := object["reserved"]; !strictjson.IsNull(proof) {
		columns["metadata_public."+mint.ReservedKey(key)] = proof
	}
	if proof := object["invited"]; !strictjson.IsNull(proof) {
		columns["metadata_public."+mint.InvitedKey(key)] = proof
	}
	if err := restore(&identity, columns); err != nil {
		return symbolon.Identity{}, err
	}
	if verified && len(identity.Addresses) == 0 {
		identity.Addresses = verifiedSomehow
	}
	return identity, nil
}

func identityID(object map[string]json.RawMessage) (symbolon.IdentityID, error) {
	var text string
	if json.Unmarshal(object["identity_id"], &text) != nil {
		return "", answer.New(400, answer.InvalidRequest, "identity_id is missing or not a string.")
	}
	id, err := symbolon.ParseIdentityID(text)
	if err != nil {
		return "", answer.New(400, answer.InvalidRequest, "identity_id is not an identity's UUID.")
	}
	return id, nil
}

// optional decodes a member that may be missing or null.
func optional(object map[string]json.RawMessage, name string, v any) error {
	raw := object[name]
	if strictjson.IsNull(raw) {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		kind := "text"
		switch v.(type) {
		case *time.Time:
			kind = "a time of RFC 3339"
		case *map[string]json.RawMessage:
			kind = "an object"
		case *bool:
			kind = "true or false"
		}
		return answer.New(400, answer.InvalidRequest, fmt.Sprintf("%s must be %s.", name, kind))
	}
	return nil
}

// restore puts the values into the identity, at the paths where the projections read them.
// It ignores a path that no projection can have.
func restore(identity *symbolon.Identity, columns map[string]json.RawMessage) error {
	tree := map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(columns)) { // a path comes before those that go on from it
		raw := columns[path]
		root, rest, _ := strings.Cut(path, ".")
		switch {
		case strictjson.IsNull(raw):
		case path == "active":
			if string(raw) == "false" {
				identity.State = symbolon.Inactive
			}
		case rest == "":
			restoreWord(identity, path, raw)
		case root == "traits", root == "metadata_public", root == "transient_payload":
			graft(tree, strings.Split(path, "."), raw)
		}
	}
	for root, to := range map[string]*json.RawMessage{"traits": &identity.Traits, "metadata_public": &identity.MetadataPublic, "transient_payload": &identity.Transient} {
		if tree[root] == nil {
			continue
		}
		var err error
		if *to, err = json.Marshal(tree[root]); err != nil {
			return answer.New(400, answer.InvalidRequest, "columns cannot be read.")
		}
	}
	return nil
}

// restoreWord puts the value of a path of one word into the identity. It ignores a value of
// another form.
func restoreWord(identity *symbolon.Identity, path string, raw json.RawMessage) {
	var text string
	var texts []string
	switch {
	case json.Unmarshal(raw, &texts) == nil && path == "verified_emails":
		identity.Addresses = slices.DeleteFunc(identity.Addresses, func(a symbolon.Address) bool { return a.Via == "email" })
		for _, value := range texts {
			identity.Addresses = append(identity.Addresses, symbolon.Address{Value: value, Via: "email", Verified: true})
		}
	case json.Unmarshal(raw, &text) != nil || text == "":
	case path == "verified_email":
		identity.Addresses = append(identity.Addresses, symbolon.Address{Value: text, Via: "email", Verified: true})
	case path == "verified_phone":
		identity.Addresses = append(identity.Addresses, symbolon.Address{Value: text, Via: "sms", Verified: true})
	case path == "schema_id":
		identity.SchemaID = text
	case path == "organization_id":
		identity.OrganizationID = text
	}
}

// graft sets a value deep in a tree. If a value lies on the way, it is an object or an array that
// holds the deeper value already.
func graft(tree map[string]any, keys []string, value any) {
	if len(keys) == 1 {
		if _, deeper := tree[keys[0]].(map[string]any); !deeper {
			tree[keys[0]] = value
		}
		return
	}
	sub, ok := tree[keys[0]].(map[string]any)
	if !ok {
		if tree[keys[0]] != nil {
			return
		}
		sub = map[string]any{}
		tree[keys[0]] = sub
	}
	graft(sub, keys[1:], value)
}

func invalidJSON(err error) error {
	return answer.New(400, answer.InvalidJSON, "The body cannot be used: "+err.Error()+".")
}
