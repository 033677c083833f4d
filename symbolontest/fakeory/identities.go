package fakeory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func bodyOf(r *http.Request) []byte {
	var b bytes.Buffer
	_, _ = b.ReadFrom(r.Body) // the body is in memory, so there is no error
	return b.Bytes()
}

func (o *Ory) createIdentity(r *http.Request) answer {
	body := bodyOf(r)
	var n newIdentity
	if err := o.strict(body, &n, externalOf(body)); err != nil {
		return failed(http.StatusBadRequest, errorBody{Message: err.Error()})
	}
	i, err := o.make(n)
	if err != nil {
		return invalid(err.Error())
	}
	if err := o.data.insert(i); err != nil {
		return failed(http.StatusConflict, errorBody{
			Reason:  "This identity conflicts with another identity that already exists.",
			Message: "The resource could not be created due to a conflict"})
	}
	shown := i.clone()
	for name, c := range shown.Credentials { // Ory's answer has zero times here, unlike its row
		c.CreatedAt, c.UpdatedAt = time.Time{}, time.Time{}
		shown.Credentials[name] = c
	}
	a := good(http.StatusCreated, shown)
	a.header.Set("Location", o.AdminURL+"/identities/"+i.ID)
	return a
}

func externalOf(body []byte) string {
	var n struct {
		ExternalID string `json:"external_id"`
	}
	_ = json.Unmarshal(body, &n) // strict reports this error
	return n.ExternalID
}

func (o *Ory) getIdentity(r *http.Request) answer {
	i, ok := o.data.get(r.PathValue("id"))
	if !ok {
		return notFound()
	}
	return good(http.StatusOK, i.forAdmin(true))
}

func (o *Ory) byExternalID(r *http.Request) answer {
	o.data.mu.Lock()
	id := o.data.external[r.PathValue("id")]
	o.data.mu.Unlock()
	i, ok := o.data.get(id)
	if !ok {
		return notFound()
	}
	return good(http.StatusOK, i.forAdmin(true))
}

func (o *Ory) deleteIdentity(r *http.Request) answer {
	if !o.data.delete(r.PathValue("id")) {
		return notFound()
	}
	return noContent()
}

// putIdentity replaces the fields in the body. It deletes metadata and external_id if the
// body leaves them out.
func (o *Ory) putIdentity(r *http.Request) answer {
	var n newIdentity
	if err := json.Unmarshal(bodyOf(r), &n); err != nil {
		return failed(http.StatusBadRequest, errorBody{Message: err.Error()})
	}
	i, ok := o.data.get(r.PathValue("id"))
	if !ok {
		return notFound()
	}
	o.between(i.ID)
	if n.SchemaID != "" {
		i.SchemaID = n.SchemaID
	}
	if n.State != "" {
		i.setState(n.State)
	}
	i.MetadataPublic, i.MetadataAdmin, i.ExternalID = orNull(n.Public), orNull(n.Admin), ""
	if o.config.Generation == V26 {
		i.ExternalID = n.ExternalID
	}
	if p := n.Credentials.Password.Config.Password; p != "" {
		i.password = p
	}
	if err := o.setTraits(&i, n.Traits); err != nil {
		return invalid(err.Error())
	}
	if a, ok := o.save(&i); !ok {
		return a
	}
	return good(http.StatusOK, i)
}

func (i *identity) setState(state string) {
	if state != i.State {
		i.State, i.StateChangedAt = state, ptr(time.Now().UTC())
	}
}

// save stores an identity and changes its times as an admin's write does in this
// generation. If it cannot, it returns the error answer and false.
func (o *Ory) save(i *identity) (answer, bool) {
	o.touch(i)
	switch err := o.data.update(i); {
	case errors.Is(err, errTaken):
		return failed(http.StatusConflict, errorBody{Message: takenBody}), false
	case err != nil:
		return notFound(), false
	}
	return answer{}, true
}

// touch changes updated_at. V1 changes it only on credentials, never on the identity.
func (o *Ory) touch(i *identity) {
	if o.config.Generation == V26 {
		i.UpdatedAt = now()
		return
	}
	for name, c := range i.Credentials {
		c.UpdatedAt = now()
		i.Credentials[name] = c
	}
}

const patchFailed = "An error occured when applying the JSON patch" //nolint:misspell // Ory's spelling

type patchOp struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// patchIdentity reads the identity, changes it and writes all of it back, without a lock
// and without a version. A write by somebody else in between is lost. Ory does the same.
func (o *Ory) patchIdentity(r *http.Request) answer {
	body := bodyOf(r)
	i, ok := o.data.get(r.PathValue("id"))
	if !ok {
		return notFound()
	}
	var ops []patchOp
	if err := json.Unmarshal(body, &ops); err != nil {
		return failed(http.StatusBadRequest, errorBody{Message: err.Error()})
	}
	o.between(i.ID)
	changed, err := o.patched(i, ops)
	if err != nil {
		return failed(http.StatusBadRequest, errorBody{Reason: patchFailed, Message: err.Error()})
	}
	if a, ok := o.apply(&i, changed); !ok {
		return a
	}
	if a, ok := o.save(&i); !ok {
		return a
	}
	shown := i.clone()
	return good(http.StatusOK, shown.forAdmin(true))
}

// patched applies the operations to the identity as a JSON document.
func (o *Ory) patched(i identity, ops []patchOp) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(encode(i.forAdmin(true))))
	d.UseNumber()
	var doc map[string]any
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	for _, op := range ops {
		if !slices.Contains([]string{"add", "remove", "replace"}, op.Op) {
			return nil, fmt.Errorf("unsupported operation: %s", op.Op)
		}
		if denied(op.Path) {
			return nil, fmt.Errorf("patch includes denied path: %s", op.Path)
		}
	}
	for _, op := range ops {
		if err := o.operate(doc, op); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

func denied(path string) bool {
	for _, p := range []string{"/id", "/stateChangedAt", "/credentials"} {
		if strings.EqualFold(path, p) || strings.HasPrefix(path, "/credentials/") {
			return true
		}
	}
	return false
}

// operate applies one operation. A replace of a missing key adds it. Missing parents and
// parents that are null become objects.
func (o *Ory) operate(doc map[string]any, op patchOp) error {
	keys := strings.Split(op.Path, "/")
	if len(keys) < 2 || keys[0] != "" {
		return fmt.Errorf("invalid path %q", op.Path)
	}
	for n, key := range keys {
		keys[n] = strings.NewReplacer("~1", "/", "~0", "~").Replace(key)
	}
	var value any
	if op.Op != "remove" {
		d := json.NewDecoder(bytes.NewReader(op.Value))
		d.UseNumber()
		if err := d.Decode(&value); err != nil {
			return err
		}
	}
	return o.walk(doc, keys[1:], op, value)
}

func (o *Ory) walk(parent map[string]any, keys []string, op patchOp, value any) error {
	key := keys[0]
	child, present := parent[key]
	if len(keys) == 1 {
		if op.Op != "remove" {
			parent[key] = value
			return nil
		}
		if !present {
			return missing(op.Path, key)
		}
		delete(parent, key)
		return nil
	}
	switch c := child.(type) {
	case map[string]any:
		return o.walk(c, keys[1:], op, value)
	case []any:
		return walkList(o, c, keys[1:], op, value, func(changed []any) { parent[key] = changed })
	case nil:
		if op.Op == "remove" {
			return missing(op.Path, keys[len(keys)-1])
		}
		made := map[string]any{}
		parent[key] = made
		return o.walk(made, keys[1:], op, value)
	}
	if o.config.Generation == V1 {
		return fmt.Errorf("json: cannot unmarshal %s into Go value of type map[string]*jsonpatch.lazyNode", jsonKind(child))
	}
	return errors.New("invalid state detected")
}

func walkList(o *Ory, list []any, keys []string, op patchOp, value any, set func([]any)) error {
	n, err := strconv.Atoi(keys[0])
	if keys[0] == "-" && op.Op == "add" {
		n, err = len(list), nil
	}
	if err != nil || n < 0 || n > len(list) || n == len(list) && op.Op != "add" {
		return fmt.Errorf("invalid index %q", keys[0])
	}
	if len(keys) > 1 {
		inner, ok := list[n%max(1, len(list))].(map[string]any)
		if !ok || n == len(list) {
			return fmt.Errorf("invalid index %q", keys[0])
		}
		return o.walk(inner, keys[1:], op, value)
	}
	switch op.Op {
	case "add":
		set(slices.Insert(slices.Clone(list), n, value))
	case "remove":
		set(slices.Delete(slices.Clone(list), n, n+1))
	default:
		list[n] = value
	}
	return nil
}

func missing(path, key string) error {
	return fmt.Errorf("error in remove for path: '%s': Unable to remove nonexistent key: %s: missing value", path, key)
}

func jsonKind(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "bool"
	}
	return "number"
}

// apply copies the fields that a PATCH may change. Unknown fields are dropped. For V1
// external_id is unknown.
func (o *Ory) apply(i *identity, doc map[string]any) (answer, bool) {
	var next struct {
		ExternalID string          `json:"external_id"`
		SchemaID   string          `json:"schema_id"`
		State      string          `json:"state"`
		Traits     json.RawMessage `json:"traits"`
		Public     json.RawMessage `json:"metadata_public"`
		Admin      json.RawMessage `json:"metadata_admin"`
		Verifiable []address       `json:"verifiable_addresses"`
		CreatedAt  time.Time       `json:"created_at"`
		UpdatedAt  time.Time       `json:"updated_at"`
	}
	if err := json.Unmarshal(encode(doc), &next); err != nil {
		return failed(http.StatusBadRequest, errorBody{Reason: patchFailed, Message: err.Error()}), false
	}
	if next.State != "active" && next.State != "inactive" {
		return invalid("identity state is not valid"), false
	}
	i.setState(next.State)
	i.SchemaID, i.CreatedAt, i.UpdatedAt = next.SchemaID, next.CreatedAt, next.UpdatedAt
	i.MetadataPublic, i.MetadataAdmin = orNull(next.Public), orNull(next.Admin)
	if o.config.Generation == V26 {
		i.ExternalID = next.ExternalID
	}
	if err := o.setTraits(i, next.Traits); err != nil {
		return invalid(err.Error()), false
	}
	if i.Verifiable[0].VerifiedAt == nil {
		keepVerified(i, next.Verifiable)
	}
	return answer{}, true
}
