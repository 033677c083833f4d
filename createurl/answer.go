package createurl

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

// maxID is the maximum length of an ID in bytes.
const maxID = 255

// parseAnswer reads {"id": "…"} or {"id": 42} and ignores other members. It rejects an ID
// that two readers could read differently.
func parseAnswer(body []byte) (symbolon.UserID, error) {
	object, err := strictjson.Object(body)
	if err != nil {
		return "", errors.New("the body is not a valid JSON object: " + err.Error())
	}
	raw := string(object["id"])
	switch {
	case strictjson.IsNull(object["id"]):
		return "", errors.New("the body has no id")
	case raw[0] == '"':
		return textID(object["id"])
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != raw {
		return "", errors.New("the id is neither text nor a whole number of 64 bits")
	}
	return symbolon.UserID(raw), nil
}

// textID reads an ID and accepts only texts that stay the same in a database, a header and
// a path.
func textID(raw []byte) (symbolon.UserID, error) {
	id, ok := strictjson.Text(raw)
	switch {
	case !ok:
		return "", errors.New("the id cannot be read")
	case id == "":
		return "", errors.New("the id is empty")
	case len(id) > maxID:
		return "", errors.New("the id has more than 255 bytes")
	case strings.TrimSpace(id) != id || strings.ContainsFunc(id, odd):
		return "", errors.New("the id begins or ends with a space, or contains an invisible character")
	}
	return symbolon.UserID(id), nil
}

func odd(r rune) bool { return r == utf8.RuneError || r != ' ' && !unicode.IsGraphic(r) }
