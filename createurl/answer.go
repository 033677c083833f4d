package createurl

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// maxID is the longest ID in bytes, as in every table.
const maxID = 255

// parseAnswer reads {"id": "…"} or {"id": 42}. Other members are the application's
// own affair; an ID that two readers could take for two is none.
func parseAnswer(body []byte) (symbolon.UserID, error) {
	object, err := strictjson.Object(body)
	if err != nil {
		return "", errors.New("the body is not what it should be: " + err.Error())
	}
	raw := string(object["id"])
	switch {
	case raw == "" || raw == "null":
		return "", errors.New("the body names no id")
	case raw[0] == '"':
		return textID(raw)
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != raw {
		return "", errors.New("the id is neither text nor a whole number of 64 bits")
	}
	return symbolon.UserID(raw), nil
}

// textID reads an ID that stays itself wherever it goes: into a database, a header, a
// path.
func textID(raw string) (symbolon.UserID, error) {
	var id string
	if json.Unmarshal([]byte(raw), &id) != nil {
		return "", errors.New("the id cannot be read")
	}
	switch {
	case id == "":
		return "", errors.New("the id is empty")
	case len(id) > maxID:
		return "", errors.New("the id has more than 255 bytes")
	case strings.TrimSpace(id) != id || strings.ContainsFunc(id, odd):
		return "", errors.New("the id begins or ends with a space, or holds something that is no visible character")
	}
	return symbolon.UserID(id), nil
}

func odd(r rune) bool { return r == utf8.RuneError || r != ' ' && !unicode.IsGraphic(r) }
