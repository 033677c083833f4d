package notes

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// person is the user behind a request: our half (ID) and Ory's (IdentityID).
type person struct {
	ID         string
	IdentityID string
}

var (
	errAnonymous    = errors.New("nobody is signed in")
	errSecondFactor = errors.New("the second factor is missing")
	errDontKnow     = errors.New("whether somebody is signed in cannot be told now")
)

type personKey struct{}

// userFrom returns the user that doorman put into the request.
func userFrom(ctx context.Context) (person, bool) {
	p, ok := ctx.Value(personKey{}).(person)
	return p, ok
}

// doorman answers "which of our users is this request?".
type doorman struct {
	db     *sql.DB
	ory    string
	cookie string
	client *http.Client
	refuse func(http.ResponseWriter, *http.Request, error) // answers in place of the page
}

func newDoorman(db *sql.DB, ory, cookie string, refuse func(http.ResponseWriter, *http.Request, error)) *doorman {
	return &doorman{db: db, ory: strings.TrimRight(ory, "/"), cookie: cookie, refuse: refuse, client: &http.Client{Timeout: 5 * time.Second}}
}

// Require lets only users through.
func (d *doorman) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := d.who(r)
		if err != nil {
			d.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), personKey{}, p)))
	})
}

// Optional lets everybody through; userFrom tells whether it is a user.
func (d *doorman) Optional(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, err := d.who(r); err == nil {
			r = r.WithContext(context.WithValue(r.Context(), personKey{}, p))
		}
		next.ServeHTTP(w, r)
	})
}

func (d *doorman) who(r *http.Request) (person, error) {
	cookie, err := r.Cookie(d.cookie)
	if err != nil {
		return person{}, errAnonymous
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, d.ory+"/sessions/whoami", nil)
	if err != nil {
		return person{}, fmt.Errorf("%w: %w", errDontKnow, err)
	}
	req.AddCookie(cookie)
	res, err := d.client.Do(req)
	if err != nil {
		return person{}, fmt.Errorf("%w: %w", errDontKnow, err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return person{}, errAnonymous
	case http.StatusForbidden:
		return person{}, errSecondFactor
	default:
		return person{}, fmt.Errorf("%w: Ory said %d", errDontKnow, res.StatusCode)
	}
	var session struct {
		Identity struct {
			ID     string `json:"id"`
			Traits struct {
				Email string `json:"email"`
				Name  struct {
					First string `json:"first"`
				} `json:"name"`
			} `json:"traits"`
		} `json:"identity"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&session); err != nil || session.Identity.ID == "" {
		return person{}, fmt.Errorf("%w: Ory's answer makes no sense: %w", errDontKnow, err)
	}
	p := person{IdentityID: session.Identity.ID}
	_, err = d.db.ExecContext(r.Context(), `insert into people (id, ory_identity_id, email, name) values (lower(hex(randomblob(16))), $1, $2, $3)
		on conflict (ory_identity_id) do nothing`, p.IdentityID, session.Identity.Traits.Email, session.Identity.Traits.Name.First)
	if err != nil {
		return person{}, fmt.Errorf("%w: %w", errDontKnow, err)
	}
	if err := d.db.QueryRowContext(r.Context(), "select id from people where ory_identity_id = $1", p.IdentityID).Scan(&p.ID); err != nil {
		return person{}, fmt.Errorf("%w: %w", errDontKnow, err)
	}
	return p, nil
}
