package fakeory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPage = 250
	newerMost   = 500 // V26's largest page, whatever page_size says
)

// listIdentities returns the identities in the order of their IDs, after the page token.
// It ignores unknown filters, as Ory does: a query with a misspelt filter returns all
// identities.
func (o *Ory) listIdentities(r *http.Request) answer {
	q := r.URL.Query()
	size, a := o.pageSize(q)
	if a != nil {
		return *a
	}
	name, ids := q.Get("credentials_identifier"), q["ids"]
	if o.config.Generation == V26 && (len(ids) > newerMost || len(ids) > 0 && name != "") {
		return invalid("the filters cannot be combined, or there are more than 500 ids")
	}
	rows, more := o.data.page(q.Get("page_token"), size, filter(name, ids))
	shown := make([]identity, len(rows))
	for n, i := range rows {
		shown[n] = i.forAdmin(name != "" || q.Has("include_credential"))
	}
	last := ""
	if more {
		last = rows[len(rows)-1].ID
	}
	page := good(http.StatusOK, shown)
	page.header.Set("Link", links("/admin/identities", q, size, last))
	return page
}

// pageSize returns the page size, or the answer that refuses the request.
func (o *Ory) pageSize(q url.Values) (int, *answer) {
	text := q.Get("page_size")
	if text == "" {
		text = q.Get("per_page")
	}
	if text == "" {
		return defaultPage, nil
	}
	size, err := strconv.Atoi(text)
	switch {
	case err != nil:
		a := failed(http.StatusBadRequest, errorBody{Message: err.Error()})
		return 0, &a
	case size < 0 && o.config.Generation == V1:
		return 0, &answer{} // Kratos panics here
	case size <= 0:
		return defaultPage, nil
	case o.config.Generation == V26:
		return min(size, newerMost), nil
	}
	return size, nil
}

// filter returns nil if the query has no filter.
func filter(name string, ids []string) func(*identity) bool {
	if name == "" && len(ids) == 0 {
		return nil
	}
	name = strings.ToLower(strings.TrimSpace(name))
	known := map[string]bool{}
	for _, id := range ids {
		known[strings.ToLower(id)] = true
	}
	return func(i *identity) bool {
		return (len(ids) == 0 || known[i.ID]) && (name == "" || slices.Contains(i.identifiers(), name))
	}
}

// page returns up to size identities after the token, and whether more follow.
func (d *data) page(token string, size int, keep func(*identity) bool) (rows []identity, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order()
	from := sort.SearchStrings(d.ids, token)
	if from < len(d.ids) && d.ids[from] == token {
		from++
	}
	for _, id := range d.ids[from:] {
		i := d.identities[id]
		if keep != nil && !keep(i) {
			continue
		}
		if len(rows) == size {
			return rows, true
		}
		rows = append(rows, i.clone())
	}
	return rows, false
}

// links builds Ory's Link header. It repeats the query of the request with another page
// token.
func links(path string, q url.Values, size int, last string) string {
	to := func(token, rel string) string {
		q.Set("page_size", strconv.Itoa(size))
		q.Set("page_token", token)
		return fmt.Sprintf("<%s?%s>; rel=%q", path, q.Encode(), rel)
	}
	link := to(nilUUID, "first")
	if last != "" {
		link += "," + to(last, "next")
	}
	return link
}

// newIdentity is the body of a create. It is the only body that Ory decodes strictly.
type newIdentity struct {
	SchemaID    string          `json:"schema_id"`
	State       string          `json:"state"`
	Traits      json.RawMessage `json:"traits"`
	ExternalID  string          `json:"external_id"`
	Public      json.RawMessage `json:"metadata_public"`
	Admin       json.RawMessage `json:"metadata_admin"`
	Verifiable  []address       `json:"verifiable_addresses"`
	Recovery    []address       `json:"recovery_addresses"`
	Credentials struct {
		Password struct {
			Config struct {
				Password  string `json:"password"`
				Hash      string `json:"hashed_password"`
				Migration bool   `json:"use_password_migration_hook"`
			} `json:"config"`
		} `json:"password"`
		OIDC json.RawMessage `json:"oidc"`
	} `json:"credentials"`
	OrganizationID *string `json:"organization_id"`
}

var errMalformedHash = errors.New("The imported password does not match any known hash format. For more information see https://www.ory.sh/dr/2") //nolint:staticcheck,revive // Ory's words

var knownHash = regexp.MustCompile(`^(\$2[abzy]?\$|\$argon2id?\$|\$pbkdf2-sha\d+\$i=|\$scrypt\$|\$firescrypt\$|\$sha(1|256|512)\$pf=|\{SSHA(256|512)?\}|\$md5\$|\$md5-crypt\$|\$sha(256|512)-crypt\$|\$hmac-)`)

// make builds the identity of a create request. The error is the reason of a 400.
func (o *Ory) make(n newIdentity) (*identity, error) {
	i := &identity{SchemaID: n.SchemaID, SchemaURL: o.schemaURL(), State: n.State, ExternalID: n.ExternalID,
		StateChangedAt: ptr(time.Now().UTC()), MetadataPublic: orNull(n.Public), MetadataAdmin: orNull(n.Admin),
		OrganizationID: n.OrganizationID, password: n.Credentials.Password.Config.Password}
	if i.SchemaID == "" {
		i.SchemaID = "default"
	}
	if i.State == "" {
		i.State = "active"
	}
	if hash := n.Credentials.Password.Config.Hash; hash != "" && !knownHash.MatchString(hash) {
		return nil, errMalformedHash
	}
	if i.State != "active" && i.State != "inactive" {
		return nil, errors.New("identity state is not valid")
	}
	if err := o.setTraits(i, n.Traits); err != nil {
		return nil, err
	}
	keepVerified(i, n.Verifiable)
	return i, nil
}

func (o *Ory) schemaURL() string { return o.PublicURL + "/schemas/ZGVmYXVsdA" }

// strict decodes a body and refuses fields that this generation does not know.
func (o *Ory) strict(body []byte, into any, external string) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if o.config.Generation == V1 && external != "" {
		return errors.New(`json: unknown field "external_id"`)
	}
	return nil
}

// importItem is one item of a batch import.
type importItem struct {
	PatchID *string      `json:"patch_id"`
	Create  *newIdentity `json:"create"`
}

type importResult struct {
	Action   string     `json:"action"`
	Identity string     `json:"identity,omitempty"`
	PatchID  *string    `json:"patch_id,omitempty"`
	Error    *errorBody `json:"error,omitempty"`
}

func (o *Ory) importIdentities(r *http.Request) answer {
	var batch struct {
		Identities []importItem `json:"identities"`
	}
	body := bodyOf(r)
	if err := o.strict(body, &batch, ""); err != nil {
		return failed(http.StatusBadRequest, errorBody{Code: 500, Message: err.Error()})
	}
	if a, refused := o.refuseBatch(batch.Identities); refused {
		return a
	}
	made := make([]*identity, len(batch.Identities))
	results := make([]importResult, len(made))
	for n, item := range batch.Identities {
		results[n] = importResult{Action: "create", PatchID: item.PatchID}
		if item.Create == nil {
			return invalid("no identity to create")
		}
		var err error
		if made[n], err = o.make(*item.Create); errors.Is(err, errMalformedHash) {
			return invalid(err.Error())
		} else if err != nil {
			made[n], results[n].Action = nil, "error"
			results[n].Error = &errorBody{Code: 400, Status: "Bad Request", Reason: err.Error(), Message: badRequest}
		}
	}
	o.insertBatch(made, results)
	return good(http.StatusOK, map[string]any{"identities": results})
}

// refuseBatch checks the limits of a batch. Ory refuses the whole batch if one of them is
// broken.
func (o *Ory) refuseBatch(items []importItem) (answer, bool) {
	most, text := 2000, "The maximum number of identities that can be created or deleted at once is 2000."
	if o.config.Generation == V26 {
		most, text = 1000, "The maximum number of identities per request that can be created or deleted at once is 1000."
	}
	if len(items) > most {
		return invalid(text), true
	}
	clear := 0
	for _, item := range items {
		if id := item.PatchID; id != nil && !isUUID(*id) {
			text := fmt.Sprintf("uuid: incorrect UUID length %d in string %q", len(*id), *id)
			return failed(http.StatusBadRequest, errorBody{Code: 500, Message: text}), true
		}
		if o.config.Generation == V1 && item.Create != nil && item.Create.ExternalID != "" {
			return failed(http.StatusBadRequest, errorBody{Code: 500, Message: `json: unknown field "external_id"`}), true
		}
		if item.Create != nil && item.Create.Credentials.Password.Config.Password != "" {
			clear++
		}
	}
	if o.config.Generation == V26 && clear > 200 {
		return invalid("The maximum number of identities per request that can be created with a plaintext password is 200."), true
	}
	return answer{}, false
}

// insertBatch stores all identities that have no conflict. V1 rolls all of them back
// after a single conflict, and its answer still says that the others were created.
func (o *Ory) insertBatch(made []*identity, results []importResult) {
	d := &o.data
	d.mu.Lock()
	defer d.mu.Unlock()
	conflict := false
	for n, i := range made {
		if i == nil {
			continue
		}
		if d.insertLocked(i) != nil {
			conflict = true
			results[n].Action = "error"
			results[n].Error = &errorBody{Code: 409, Status: "Conflict", Message: takenBody}
			continue
		}
		results[n].Identity = i.ID
	}
	if !conflict || o.config.Generation != V1 {
		return
	}
	for n, i := range made {
		if i != nil && results[n].Identity != "" {
			d.drop(d.identities[i.ID])
		}
	}
}
