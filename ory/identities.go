package ory

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Identity reads one identity over the admin API, metadata_admin included.
// ErrNotFound means Kratos' own 404 only.
func (c *Client) Identity(ctx context.Context, id symbolon.IdentityID) (symbolon.Identity, error) {
	path, err := idPath("/admin/identities/", string(id))
	if err != nil {
		return symbolon.Identity{}, err
	}
	r, err := c.ask(ctx, question{bucket: adminHigh, admin: true, path: path})
	if err != nil {
		return symbolon.Identity{}, fmt.Errorf("read identity %s: %w", id, err)
	}
	i, err := oneIdentity(r, id)
	if err != nil {
		return symbolon.Identity{}, fmt.Errorf("read identity %s: %w", id, err)
	}
	return i, nil
}

func oneIdentity(r *reply, id symbolon.IdentityID) (symbolon.Identity, error) {
	body, err := r.json()
	if err != nil {
		return symbolon.Identity{}, err
	}
	i, err := DecodeIdentity(body)
	if err != nil {
		return symbolon.Identity{}, unknown("%s", err.Error())
	}
	if !strings.EqualFold(string(i.ID), string(id)) {
		return symbolon.Identity{}, unknown("another identity than the one that was asked for")
	}
	return i, nil
}

// DeleteIdentity deletes an identity at Ory: its credentials, its sessions, its traits
// and all metadata.
//
// Danger: nothing brings the identity back. Only package erase may call it, by the
// operator's word, and the doctor, for its own throw-away identities.
//
// ErrNotFound means Kratos' own 404: there is no such identity. Only Kratos' 204 is a
// success. Read the identity afterwards to see that it is gone.
func (c *Client) DeleteIdentity(ctx context.Context, id symbolon.IdentityID) error {
	path, err := idPath("/admin/identities/", string(id))
	if err != nil {
		return err
	}
	if err := c.remove(ctx, path); err != nil {
		return fmt.Errorf("delete identity %s: %w", id, err)
	}
	return nil
}

// AddPublicMetadata sets metadata_public.<key> by one JSON Patch "add" and returns the
// identity that Ory then has. This client can change nothing else of an identity.
//
// Danger: Ory carries a PATCH out by reading the identity, changing it and writing all of it
// back without a lock. A ban or a new password of the same moment is undone.
// link.BackReference says when the risk is worth it.
func (c *Client) AddPublicMetadata(ctx context.Context, id symbolon.IdentityID, key, value string) (symbolon.Identity, error) {
	path, err := idPath("/admin/identities/", string(id))
	if err != nil {
		return symbolon.Identity{}, err
	}
	body, err := addPatch(key, value)
	if err != nil {
		return symbolon.Identity{}, err
	}
	r, err := c.ask(ctx, question{bucket: adminLow, method: http.MethodPatch, admin: true, path: path, body: body})
	if err != nil {
		return symbolon.Identity{}, fmt.Errorf("write metadata of identity %s: %w", id, err)
	}
	i, err := oneIdentity(r, id)
	if err != nil {
		return symbolon.Identity{}, fmt.Errorf("write metadata of identity %s: %w", id, err)
	}
	return i, nil
}

// maxKey bounds the name of a metadata key.
const maxKey = 64

func addPatch(key, value string) ([]byte, error) {
	if key == "" || len(key) > maxKey || !visible(key) {
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
