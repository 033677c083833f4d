package symbolontest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
)

// CreateIdentity makes an identity by the admin API. body is the request's
// JSON, for example
//
//	map[string]any{"schema_id": "default", "traits": map[string]any{"email": "ada@example.com"}}
func (k *Kratos) CreateIdentity(ctx context.Context, body any) (id string, err error) {
	var identity struct{ ID string }
	response, answer, err := k.do(ctx, http.MethodPost, k.AdminURL+"/admin/identities", body, nil)
	if err = expect(response, answer, err, http.StatusCreated, &identity); err != nil {
		return "", fmt.Errorf("create identity: %w", err)
	}
	return identity.ID, nil
}

// GetIdentity returns the admin API's answer about an identity, whatever its
// status; err says that there was none.
func (k *Kratos) GetIdentity(ctx context.Context, id string) (json.RawMessage, int, error) {
	status, body, err := k.call(ctx, http.MethodGet, k.identityURL(id), nil, nil)
	return body, status, err
}

// PatchIdentity applies JSON Patch operations, for example
//
//	[]map[string]any{{"op": "add", "path": "/metadata_public/id", "value": "42"}}
func (k *Kratos) PatchIdentity(ctx context.Context, id string, ops any) error {
	response, body, err := k.do(ctx, http.MethodPatch, k.identityURL(id), ops, nil)
	if err = expect(response, body, err, http.StatusOK, nil); err != nil {
		return fmt.Errorf("patch identity %s: %w", id, err)
	}
	return nil
}

// DeleteIdentity deletes an identity and its sessions.
func (k *Kratos) DeleteIdentity(ctx context.Context, id string) error {
	response, body, err := k.do(ctx, http.MethodDelete, k.identityURL(id), nil, nil)
	if err = expect(response, body, err, http.StatusNoContent, nil); err != nil {
		return fmt.Errorf("delete identity %s: %w", id, err)
	}
	return nil
}

// CountIdentities counts them all, page by page.
func (k *Kratos) CountIdentities(ctx context.Context) (int, error) {
	count, next := 0, "/admin/identities?page_size=500"
	for next != "" {
		var page []json.RawMessage
		response, body, err := k.do(ctx, http.MethodGet, k.AdminURL+next, nil, nil)
		if err = expect(response, body, err, http.StatusOK, &page); err != nil {
			return 0, fmt.Errorf("count identities: %w", err)
		}
		count += len(page)
		if next, err = nextPage(response.Header); err != nil {
			return 0, fmt.Errorf("count identities: %w", err)
		}
	}
	return count, nil
}

var linkNext = regexp.MustCompile(`<([^>]*)>;\s*rel="next"`)

// nextPage returns path and query of the link to the next page, or nothing.
func nextPage(header http.Header) (string, error) {
	for _, line := range header.Values("Link") {
		if match := linkNext.FindStringSubmatch(line); match != nil {
			u, err := url.Parse(match[1])
			if err != nil {
				return "", err
			}
			if u.RawQuery == "" {
				return "", errors.New("the link to the next page names none")
			}
			return u.RequestURI(), nil
		}
	}
	return "", nil
}

func (k *Kratos) identityURL(id string) string {
	return k.AdminURL + "/admin/identities/" + url.PathEscape(id)
}
