package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/internal/strictjson"
)

const envPrefix = "SYMBOLON_"

// Environ are the environment variables of the process.
type Environ map[string]string

// NewEnviron takes what os.Environ returns.
func NewEnviron(pairs []string) Environ {
	e := Environ{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		e[name] = value
	}
	return e
}

// EnvName is the variable of a key: ory.admin_url is SYMBOLON_ORY_ADMIN_URL.
func EnvName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// overlayEnv sets every key that has a variable. An empty variable counts as not
// set: container tools often pass them on.
func overlayEnv(c *Config, env Environ, r *report) {
	var known []string
	eachLeaf(reflect.ValueOf(c).Elem(), "", func(path string, v reflect.Value) {
		name := EnvName(path)
		known = append(known, name)
		text := env[name]
		if text == "" {
			return
		}
		r.where[path] = name
		if err := setEnv(v, text); err != nil {
			r.faultAt(path, name, "%s", err)
		}
	})
	warnUnknown(env, known, r)
}

// warnUnknown warns of variables that look like keys and are none. They cannot be
// refused: Kubernetes sets SYMBOLON_SERVICE_HOST and the like by itself.
func warnUnknown(env Environ, known []string, r *report) {
	sections := keysOf(reflect.TypeFor[Config]())
	for _, name := range slices.Sorted(maps.Keys(env)) {
		rest, ours := strings.CutPrefix(name, envPrefix)
		isSection := slices.ContainsFunc(sections, func(s string) bool {
			s = strings.ToUpper(s)
			return rest == s || strings.HasPrefix(rest, s+"_")
		})
		if ours && isSection && !slices.Contains(known, name) {
			r.warnings = append(r.warnings, Fault{text: "the environment variable " + cli.Clip(name, 64) + " is no key and was ignored" + closest(name, known)})
		}
	}
}

func setEnv(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.Slice:
		items := strings.Split(text, ",")
		out := reflect.MakeSlice(v.Type(), len(items), len(items))
		for i, item := range items {
			out.Index(i).SetString(strings.TrimSpace(item))
		}
		v.Set(out)
		return nil
	case reflect.Map:
		if v.Type() == policiesType {
			return setEnvPolicies(v, text)
		}
		return setEnvMap(v, text)
	}
	return setText(v, text)
}

func setEnvMap(v reflect.Value, text string) error {
	object, err := strictjson.Object([]byte(text))
	if err != nil {
		return fmt.Errorf("it must be a JSON object of text to text: %w", err)
	}
	out := map[string]string{}
	for key, raw := range object {
		var s string
		if json.Unmarshal(raw, &s) != nil || string(raw) == "null" {
			return errors.New("it must be a JSON object of text to text")
		}
		out[key] = s
	}
	v.Set(reflect.ValueOf(out))
	return nil
}

// setText reads one value from its text. The error never holds the text.
func setText(v reflect.Value, text string) error {
	switch {
	case v.Type() == duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("it must be %s", kindName(v))
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("it must be %s", kindName(v))
		}
		v.SetBool(text == "true")
	default:
		n, err := strconv.Atoi(text)
		if err != nil || strconv.Itoa(n) != text {
			return fmt.Errorf("it must be %s", kindName(v))
		}
		v.SetInt(int64(n))
	}
	return nil
}

func kindName(v reflect.Value) string {
	switch {
	case v.Type() == duration:
		return "a duration such as 10s or 1m30s"
	case v.Kind() == reflect.String:
		return "text"
	case v.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a whole number"
}

var envWord = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expandEnv replaces ${NAME} by the value of the variable NAME. "$${" stands for
// the two characters themselves. A variable that is missing or empty is an error.
func expandEnv(text string, env Environ) (string, error) {
	var out strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if at > 0 && text[at-1] == '$' {
			out.WriteString(text[:at-1] + "${")
			text = text[at+2:]
			continue
		}
		out.WriteString(text[:at])
		name, rest, closed := strings.Cut(text[at+2:], "}")
		switch {
		case !closed:
			return "", errors.New("a ${ is not closed (for the characters themselves write $${)")
		case !envWord.MatchString(name):
			return "", errors.New("${…} must hold the name of an environment variable and nothing else")
		case env[name] == "":
			return "", fmt.Errorf("the environment variable %s is not set, or empty", name)
		}
		out.WriteString(env[name])
		text = rest
	}
}

// eachLeaf visits every key that holds a value.
func eachLeaf(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	for i := range v.NumField() {
		field, at := v.Field(i), join(path, v.Type().Field(i).Tag.Get("yaml"))
		if field.Kind() == reflect.Struct {
			eachLeaf(field, at, f)
			continue
		}
		f(at, field)
	}
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("yaml") == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		out = append(out, t.Field(i).Tag.Get("yaml"))
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,30}$`)

// shown is a key of the file as a message may show it: somebody may have pasted a
// secret in its place.
func shown(key string) string {
	if plainKey.MatchString(key) {
		return key
	}
	return "…"
}

// didYouMean offers the key that was probably meant.
func didYouMean(key string, known []string) string {
	if near := closest(key, known); near != "" {
		return near
	}
	return "; there is " + strings.Join(known, ", ")
}

func closest(key string, known []string) string {
	if len(key) > 64 {
		return ""
	}
	best := slices.MinFunc(known, func(a, b string) int { return distance(key, a) - distance(key, b) })
	if distance(key, best) <= 2 {
		return "; did you mean " + best + "?"
	}
	return ""
}

// distance is how many letters have to be changed, added or taken away to make b
// of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
