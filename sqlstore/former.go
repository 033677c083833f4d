package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/symbolon-id/symbolon"
)

const (
	// formerUsers finds the users whose last identity was $2, except the identity's present
	// user ($3). The identity was linked to such a user, no identity was linked to the user
	// later, and no identity has the user now in any project. A link of an adoption that
	// was undone is ignored.
	formerUsers = `
select e.user_id from symbolon.events e
where e.project = $1 and e.identity_id = $2 and e.kind in ('user.linked', 'user.recreated') and e.user_id <> $3
and not exists (select 1 from symbolon.events n where n.project = e.project and n.user_id = e.user_id and n.id > e.id
    and n.kind in ('user.linked', 'user.recreated'))
and not exists (select 1 from symbolon.events n where n.project = e.project and n.before_id = e.user_id and n.id > e.id
    and n.kind = 'user.unlinked')
and not exists (select 1 from symbolon.links l where l.user_id = e.user_id and l.state = 'linked')
order by e.id`

	lastIdentityOf = `
select identity_id from symbolon.events
where project = $1 and user_id = $2 and kind in ('user.linked', 'user.recreated') order by id desc limit 1`
)

// FormerUsers reads the history. It returns the users that an identity had before its present
// user and that no identity has now. Usually the row of such a user was left behind when the
// operator gave the identity another user. The parameter user is the identity's present user,
// or empty. A user is also returned if its row no longer exists.
func (s *Store) FormerUsers(ctx context.Context, project string, identity symbolon.IdentityID, user symbolon.UserID) ([]symbolon.UserID, error) {
	found, err := readAll(ctx, s, "read the former users of identity "+string(identity), formerUsers,
		[]any{project, string(identity), string(user)}, scanOne[symbolon.UserID])
	if err != nil {
		return nil, err
	}
	var former []symbolon.UserID
	for _, id := range found {
		c, err := s.User(ctx, project, id)
		if err != nil {
			return nil, err
		}
		if c.Linked == "" && (c.Row == nil || c.Row.Identity == "") {
			former = append(former, id)
		}
	}
	return former, nil
}

// LastIdentity reads the history. It returns the identity that had a user last, or "" if no
// identity ever had the user.
func (s *Store) LastIdentity(ctx context.Context, project string, user symbolon.UserID) (symbolon.IdentityID, error) {
	var id symbolon.IdentityID
	err := s.retry(ctx, func(waiting context.Context) error {
		return session{store: s}.queryRow(waiting, lastIdentityOf, project, string(user)).Scan(&id)
	})
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return id, nil
	}
	return "", unavailable("read the last identity of user "+string(user), err)
}
