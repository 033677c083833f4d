package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// person is one of the application's people, as the table has it.
type person struct{ id, identity, email, name string }

// row is the row that names an identity; nil: there is none.
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

func (d *demo) rows(ctx context.Context) (n int, err error) {
	return n, d.db.QueryRowContext(ctx, "select count(*) from people").Scan(&n)
}

// atOry is metadata_public.id as Ory's admin API shows it.
func (d *demo) atOry(ctx context.Context, identity string) (string, error) {
	var body []byte
	var status int
	err := patiently(ctx, func() (int, error) {
		var err error
		body, status, err = d.kratos.GetIdentity(ctx, identity)
		return status, err
	})
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the admin API of Ory says %d of identity %s", status, identity)
	}
	return textAt(body, "metadata_public", "id"), err
}

// bond is Symbolon's ledger of an identity, as its operator sees it.
type bond struct {
	User   string `json:"user_id"`
	State  string `json:"state"`
	Source string `json:"source"`

	linked int // how often it was made: the history's user.linked
}

// ledger asks GET /admin/identities/{id}; nil: Symbolon does not know the identity.
func (d *demo) ledger(ctx context.Context, identity string) (*bond, error) {
	var status int
	var body []byte
	err := patiently(ctx, func() (_ int, err error) {
		status, body, err = get(ctx, d.operatorURL()+"/admin/identities/"+identity)
		return status, err
	})
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, nil
	case status != http.StatusOK:
		return nil, fmt.Errorf("the operator's side of Symbolon says %d of identity %s", status, identity)
	}
	var answer struct {
		Link    *bond `json:"link"`
		History []struct {
			Kind string `json:"kind"`
		} `json:"history"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	for _, e := range answer.History {
		if answer.Link != nil && e.Kind == "user.linked" {
			answer.Link.linked++
		}
	}
	return answer.Link, nil
}

func get(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, body, err
}
