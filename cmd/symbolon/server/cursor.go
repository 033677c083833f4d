package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/symbolon-id/symbolon"
)

// cursors makes cursors, which say where a page ended. A cursor is valid for one query only.
// It is signed, because its content goes to the database.
type cursors struct {
	keys [][]byte // the current one first
	now  func() time.Time
}

// cursorLife is how long a cursor is valid.
const cursorLife = 24 * time.Hour

func newCursors(secrets []symbolon.Secret) *cursors {
	c := &cursors{now: time.Now}
	for _, s := range secrets {
		c.keys = append(c.keys, s.Derive("cursor"))
	}
	return c
}

// cursor is the content of a cursor.
type cursor struct {
	At   int64    `json:"t"` // the time at which it was made
	Last []string `json:"l"`
}

// seal makes a cursor for a query.
func (c *cursors) seal(query []string, last ...string) string {
	body, err := json.Marshal(cursor{c.now().Unix(), last})
	if err != nil { // our own type can always be marshalled
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(sign(c.keys[0], query, body), body...))
}

// maxCursor is the longest text of a cursor.
const maxCursor = 1024

var errCursor = errors.New("it is no cursor of this query")

// open returns the content of a cursor of this query that is not too old.
func (c *cursors) open(query []string, text string) ([]string, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(text) > maxCursor || len(raw) < sha256.Size {
		return nil, errCursor
	}
	mac, body := raw[:sha256.Size], raw[sha256.Size:]
	good := false
	for _, key := range c.keys {
		good = hmac.Equal(mac, sign(key, query, body)) || good
	}
	var out cursor
	if !good || json.Unmarshal(body, &out) != nil {
		return nil, errCursor
	}
	if age := c.now().Sub(time.Unix(out.At, 0)); age > cursorLife || age < -time.Hour {
		return nil, errCursor
	}
	return out.Last, nil
}

func sign(key []byte, query []string, body []byte) []byte {
	bound, _ := json.Marshal(query) // two different lists of texts have different JSON
	mac := hmac.New(sha256.New, key)
	mac.Write(bound)
	mac.Write([]byte{0})
	mac.Write(body)
	return mac.Sum(nil)
}
