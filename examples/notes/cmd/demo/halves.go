package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// person is a row of the application's table.
type person struct{ id, identity, email, name string }

// row returns the row that names an identity, or nil.
func (d *demo) row(ctx context.Context, identity string) (*person, error) {
	p := person{identity: identity}
	err := d.db.QueryRowContext(ctx, "select id, email, name from people where ory_identity_id = $1", identity).Scan(&p.id, &p.email, &p.name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read people: %w", err)
	}
	return &p, nil
}

// atOry returns metadata_public.id from Ory's admin API.
func (d *demo) atOry(ctx context.Context, identity string) (string, error) {
	p, err := d.client.get(ctx, d.kratos.AdminURL+"/admin/identities/"+identity)
	if err != nil {
		return "", err
	}
	if p.status != http.StatusOK {
		return "", fmt.Errorf("the admin API of Ory answers %d for identity %s", p.status, identity)
	}
	return textAt(p.text, "metadata_public", "id"), nil
}

// bond is the ledger entry of an identity, as the operator sees it.
type bond struct {
	User   string `json:"user_id"`
	State  string `json:"state"`
	Source string `json:"source"`

	linked int // number of user.linked events
}

// ledger calls GET /admin/identities/{id}. It returns nil if Symbolon does not know the
// identity.
func (d *demo) ledger(ctx context.Context, identity string) (*bond, error) {
	p, err := d.client.get(ctx, d.operatorURL()+"/admin/identities/"+identity)
	switch {
	case err != nil:
		return nil, err
	case p.status == http.StatusNotFound:
		return nil, nil
	case p.status != http.StatusOK:
		return nil, fmt.Errorf("the operator's side of Symbolon answers %d for identity %s", p.status, identity)
	}
	var answer struct {
		Link    *bond `json:"link"`
		History []struct {
			Kind string `json:"kind"`
		} `json:"history"`
	}
	if err := json.Unmarshal(p.text, &answer); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	for _, e := range answer.History {
		if answer.Link != nil && e.Kind == "user.linked" {
			answer.Link.linked++
		}
	}
	return answer.Link, nil
}

// showPerson shows the row that names an identity.
func (d *demo) showPerson(p *person) {
	d.t.row("people", user, p.id, "id")
	d.t.row("", identity, p.identity, "ory_identity_id")
	d.t.row("", plain, p.email, "email")
}
