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

// cursors seals where a page ended. A cursor is good for the query that it was made for
// and nobody can make one: what stands in it goes to the database.
type cursors struct {
	keys [][]byte // the current one first
	now  func() time.Time
}

// cursorLife is for how long a cursor is good.
const cursorLife = 24 * time.Hour

func newCursors(secrets []symbolon.Secret) *cursors {
	c := &cursors{now: timeNow}
	for _, s := range secrets {
		c.keys = append(c.keys, s.Derive("cursor"))
	}
	return c
}

// cursor is its content.
type cursor struct {
	At   int64    `json:"t"` // when it was made
	Last []string `json:"l"`
}

// seal makes a cursor that is bound to a query.
func (c *cursors) seal(query []string, last ...string) string {
	body, err := json.Marshal(cursor{c.now().Unix(), last})
	if err != nil { // our own type always marshals
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(sign(c.keys[0], query, body), body...))
}

// maxCursor bounds the text of one.
const maxCursor = 1024

var errCursor = errors.New("it is no cursor of this query")

// open returns what was sealed for this query, if it is not too old.
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
	bound, _ := json.Marshal(query) // a list of texts: no two make the same bytes
	mac := hmac.New(sha256.New, key)
	mac.Write(bound)
	mac.Write([]byte{0})
	mac.Write(body)
	return mac.Sum(nil)
}

func timeNow() time.Time { return time.Now() }
