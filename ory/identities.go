package ory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/ascii"
)

// Identity reads one identity over the admin API, metadata_admin included.
// ErrNotFound means Kratos' own 404 only.
func (c *Client) Identity(ctx context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	q := question{bucket: adminHigh, admin: true, path: idPath("/admin/identities/", string(id), "")}
	return get(ctx, c, "read identity "+string(id), q, only(id))
}

// only(id) is a decoder that refuses every identity except id.
func only(id symbolon.IdentityID) func([]byte) (symbolon.Identity, error) {
	return func(body []byte) (symbolon.Identity, error) {
		i, err := DecodeIdentity(body)
		if err == nil && !strings.EqualFold(string(i.ID), string(id)) {
			return symbolon.Identity{}, errors.New("it is not the identity that was asked for")
		}
		return i, err
	}
}

// DeleteIdentity deletes an identity at Ory: its credentials, its sessions, its traits
// and all metadata.
//
// Danger: nothing brings the identity back. Only two may call this: package erase, because
// the operator asked for the erasure, and the doctor, for its own test identities.
//
// ErrNotFound means Kratos' own 404: the identity does not exist. Only Kratos' 204 is a
// success. Read the identity afterwards to see that it is gone.
func (c *Client) DeleteIdentity(ctx context.Context, id symbolon.IdentityID) error {
	return c.remove(ctx, "delete identity "+string(id), idPath("/admin/identities/", string(id), ""))
}

// AddPublicMetadata sets metadata_public.<key> by one JSON Patch "add" and returns the
// identity that Ory then has. This client can change nothing else of an identity.
//
// Danger: Ory carries a PATCH out by reading the identity, changing it and writing all of
// it back without a lock. A ban or a new password that is written at the same moment is
// lost. link.BackReference says when the risk is acceptable.
func (c *Client) AddPublicMetadata(ctx context.Context, id symbolon.IdentityID, key, value string) (symbolon.Identity, error) {
	body, err := addPatch(key, value)
	if err != nil {
		return symbolon.Identity{}, err
	}
	q := question{bucket: adminLow, method: http.MethodPatch, admin: true, path: idPath("/admin/identities/", string(id), ""), body: body}
	return get(ctx, c, "write metadata of identity "+string(id), q, only(id))
}

// maxKey is the maximum length of a metadata key.
const maxKey = 64

func addPatch(key, value string) ([]byte, error) {
	if key == "" || len(key) > maxKey || !ascii.Visible(key) {
		return nil, fmt.Errorf("ory: the key below metadata_public must be 1 to %d visible characters", maxKey)
	}
	type op struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value string `json:"value"`
	}
	pointer := strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
	body, err := json.Marshal([]op{{"add", "/metadata_public/" + pointer, value}})
	if err != nil {
		return nil, fmt.Errorf("ory: write the patch: %w", err)
	}
	return body, nil
}
