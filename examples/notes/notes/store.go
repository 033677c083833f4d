package notes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
)

// Note is a note of a user.
type Note struct {
	ID        int64
	Body      string
	CreatedAt time.Time
}

// maxBody is the maximum length of a note in characters.
const maxBody = 2000

// pageSize is the number of notes on a page.
const pageSize = 50

var errNoNote = errors.New("no such note")

// checkBody checks a note. It returns the text to store, or a message for the person.
func checkBody(typed string) (body, wrong string) {
	body = strings.TrimSpace(strings.ReplaceAll(typed, "\r\n", "\n"))
	switch n := utf8.RuneCountInString(body); {
	case !utf8.ValidString(body):
		return "", "This text holds bytes that are no characters."
	case n == 0:
		return "", "Write something first."
	case n > maxBody:
		return "", fmt.Sprintf("That is %d characters; a note holds at most %d.", n, maxBody)
	}
	return body, ""
}

// store reads and writes notes. Every statement has the user's ID, so that a note's ID
// alone is not enough.
type store struct{ db *sql.DB }

func (s store) add(ctx context.Context, user symbolon.UserID, body string) error {
	if _, err := s.db.ExecContext(ctx, "insert into notes (user_id, body) values ($1, $2)", user, body); err != nil {
		return fmt.Errorf("add note: %w", err)
	}
	return nil
}

// remove returns errNoNote if this user has no such note, also if another user has it.
func (s store) remove(ctx context.Context, user symbolon.UserID, id int64) error {
	res, err := s.db.ExecContext(ctx, "delete from notes where id = $1 and user_id = $2", id, user)
	if err != nil {
		return fmt.Errorf("remove note: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("remove note: %w", err)
	}
	if n == 0 {
		return errNoNote
	}
	return nil
}

// list returns the newest notes older than before, and whether there are more. before 0
// returns the newest notes.
func (s store) list(ctx context.Context, user symbolon.UserID, before int64) (notes []Note, more bool, err error) {
	rows, err := s.db.QueryContext(ctx,
		"select id, body, created_at from notes where user_id = $1 and ($2 = 0 or id < $2) order by id desc limit $3", user, before, pageSize+1)
	if err != nil {
		return nil, false, fmt.Errorf("list notes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n Note
		var at string
		if err := rows.Scan(&n.ID, &n.Body, &at); err != nil {
			return nil, false, fmt.Errorf("list notes: %w", err)
		}
		if n.CreatedAt, err = time.Parse(time.RFC3339, at); err != nil {
			return nil, false, fmt.Errorf("list notes: note %d: %w", n.ID, err)
		}
		notes = append(notes, n)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("list notes: %w", err)
	}
	if len(notes) > pageSize {
		return notes[:pageSize], true, nil
	}
	return notes, false, nil
}
