package ory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/symbolon-id/symbolon"
)

// Ready asks Ory whether it can reach its database, and returns no error if Ory says yes.
// This is a hint, not a proof, because Ory may be ready while a table is locked.
//
// Ready asks the public API, which answers in every version. If a proxy blocks this
// request, Ready asks the admin API under /admin, the only path that both generations of
// Kratos answer.
func (c *Client) Ready(ctx context.Context) error {
	err := c.health(ctx, question{bucket: unlimited, path: "/health/ready"})
	e, answered := errors.AsType[*Error](err)
	if !answered || e.Status >= 500 || !c.HasAdmin() {
		return err
	}
	return c.health(ctx, question{bucket: unlimited, admin: true, path: "/admin/health/ready"})
}

func (c *Client) health(ctx context.Context, q question) error {
	r, err := c.ask(ctx, q)
	if err != nil {
		return fmt.Errorf("readiness: %w", err)
	}
	if r.status != http.StatusOK {
		e, _, _ := r.kratosError()
		return fmt.Errorf("readiness: %w", e)
	}
	if string(r.fields().Get("status")) != `"ok"` {
		return unknown("readiness: not the answer of a Kratos that is ready")
	}
	return nil
}

// Version is what Ory can do.
type Version struct {
	// Name is the version that Ory reports: "v26.2.0", "master". Empty: Ory reports none.
	Name string

	// ExternalID says that identities have an external_id (Kratos v25.4 and newer). An
	// older Kratos ignores an external_id without an error.
	ExternalID bool
}

// Version asks Ory what it can do. It needs the admin API.
func (c *Client) Version(ctx context.Context) (Version, error) {
	external, err := c.probeExternalID(ctx)
	if err != nil {
		return Version{}, fmt.Errorf("probe for external_id: %w", err)
	}
	v := Version{ExternalID: external}
	r, err := c.ask(ctx, question{bucket: unlimited, admin: true, path: "/admin/version"})
	if err != nil {
		return Version{}, fmt.Errorf("ask for the version: %w", err)
	}
	if r.status == http.StatusOK {
		name, _ := r.fields().text("version")
		v.Name = oneLine(name)
	}
	return v, nil
}

// probeExternalID looks up an external_id that nobody has. A Kratos with this route answers
// 404 in JSON. An older Kratos has no such route and answers 404 in plain text.
func (c *Client) probeExternalID(ctx context.Context) (bool, error) {
	const nobody = "symbolon-probe-of-an-external-id-that-nobody-has"
	r, err := c.ask(ctx, question{bucket: adminMedium, admin: true, path: "/admin/identities/by/external/" + url.PathEscape(nobody)})
	if err != nil {
		return false, err
	}
	if r.status == http.StatusNotFound && string(r.body) == "404 page not found\n" {
		return false, nil
	}
	err = r.refusal()
	if errors.Is(err, symbolon.ErrNotFound) {
		return true, nil
	}
	return false, err
}
