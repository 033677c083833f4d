package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/internal/answer"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// operation carries out one request of the operator, who may do everything. The answer is
// 200 with the result, 204 if the result is nil, and 202 if it is of type accepted. The
// context of the request ends after system.OperatorTimeout.
type operation func(r *http.Request) (any, error)

// accepted is the result of an operation that continues after its answer.
type accepted struct {
	body     any
	location string // where its state can be read, or empty
}

// adminHandler answers with the result of an operation. A denial is answered with its
// detail, which only the operator may read.
func adminHandler(do operation, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), system.OperatorTimeout)
		defer cancel()
		out, err := do(r.WithContext(ctx))
		if err != nil {
			p := answer.Of(err)
			if deny, ok := errors.AsType[*symbolon.DenyError](err); ok {
				p = answer.New(p.Status, p.Code, deny.Error())
			} else if p.Status >= 500 {
				log.Warn("operator's request failed", "error", err)
			}
			answer.Write(w, p)
			return
		}
		switch out := out.(type) {
		case nil:
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusNoContent)
		case accepted:
			if out.location != "" {
				w.Header().Set("Location", out.location)
			}
			answer.JSON(w, http.StatusAccepted, out.body)
		default:
			answer.JSON(w, http.StatusOK, out)
		}
	})
}

func badRequest(message string) error { return answer.New(400, answer.InvalidRequest, message) }

// maxAdminBody is the largest body of an operator's request.
const maxAdminBody = 1 << 20

func readBody(r *http.Request) ([]byte, error) { return answer.ReadJSON(r, maxAdminBody) }

// parseObject decodes the members of a JSON object into fields. An unknown key is refused,
// because a misspelt "move" must not be ignored. usage is the message of that refusal.
func parseObject(body []byte, usage string, fields map[string]any) error {
	object, err := strictjson.Object(body)
	if err != nil {
		return answer.New(400, answer.InvalidJSON, "The body cannot be used: "+err.Error()+".")
	}
	for key, raw := range object {
		field, known := fields[key]
		if !known || string(raw) == "null" || json.Unmarshal(raw, field) != nil {
			return badRequest(usage)
		}
	}
	return nil
}

// parseQuery returns the values of a query. An unknown or repeated key is refused, with
// usage as the message.
func parseQuery(raw, usage string, keys ...string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil || len(raw) > 4096 {
		return nil, badRequest("The query cannot be read.")
	}
	for key, all := range values {
		if !slices.Contains(keys, key) || len(all) != 1 {
			return nil, badRequest(usage)
		}
	}
	return values, nil
}

// onIdentity is an operation on the identity that the path names.
func onIdentity(do func(r *http.Request, id symbolon.IdentityID) (any, error)) operation {
	return func(r *http.Request) (any, error) {
		id, err := parseIdentity(r.PathValue("id"))
		if err != nil {
			return nil, err
		}
		return do(r, id)
	}
}

func parseIdentity(text string) (symbolon.IdentityID, error) {
	id, err := symbolon.ParseIdentityID(text)
	if err != nil {
		return "", badRequest("An identity's ID must be a UUID, but not the nil UUID.")
	}
	return id, nil
}
