package config

import (
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

// Environ are environment variables by name.
type Environ map[string]string

// NewEnviron converts the result of os.Environ.
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

// overlayEnv sets every key that has a variable. An empty variable is treated as not set,
// because container tools often set empty ones.
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

// warnUnknown warns of variables that look like keys but are not. They cannot be refused,
// because Kubernetes sets SYMBOLON_SERVICE_HOST and the like by itself.
func warnUnknown(env Environ, known []string, r *report) {
	sections := keysOf(reflect.TypeFor[Config]())
	for _, name := range slices.Sorted(maps.Keys(env)) {
		rest, ours := strings.CutPrefix(name, envPrefix)
		isSection := slices.ContainsFunc(sections, func(s string) bool {
			s = strings.ToUpper(s)
			return rest == s || strings.HasPrefix(rest, s+"_")
		})
		if ours && isSection && !slices.Contains(known, name) {
			r.warnings = append(r.warnings, Fault{text: "the environment variable " + cli.Clip(name, 64) + " is not a key of the configuration and was ignored" + closest(name, known)})
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
		return setEnvMap(v, text)
	}
	return setText(v, text)
}

// setEnvMap reads a JSON object whose values are text. For auth.policies the values are
// objects: {"NAME":{"aal":"aal2","verified":true,"fresh":"15m","login_redirect":true}}.
func setEnvMap(v reflect.Value, text string) error {
	bad := errors.New("it must be a JSON object whose values are text")
	if v.Type() == policiesType {
		bad = errors.New(`it must be a JSON object such as {"NAME":{"aal":"aal2","fresh":"15m"}}`)
	}
	object, err := strictjson.Object([]byte(text))
	if err != nil {
		return fmt.Errorf("%w: %w", bad, err)
	}
	out := reflect.MakeMap(v.Type())
	for key, raw := range object {
		value := reflect.New(v.Type().Elem()).Elem()
		if err := setJSON(value, raw, bad); err != nil {
			return err
		}
		out.SetMapIndex(reflect.ValueOf(key), value)
	}
	v.Set(out)
	return nil
}

// setJSON reads a text, or the members of a policy.
func setJSON(v reflect.Value, raw []byte, bad error) error {
	if v.Kind() == reflect.String {
		text, ok := strictjson.Text(raw)
		if !ok {
			return bad
		}
		v.SetString(text)
		return nil
	}
	members, err := strictjson.Object(raw)
	if err != nil {
		return bad
	}
	for key, raw := range members {
		field, ok := fieldOf(v, key)
		if !ok {
			return fmt.Errorf("%w: there is no such key%s", bad, didYouMean(key, keysOf(v.Type())))
		}
		text, isText := strictjson.Text(raw)
		if isText == (field.Kind() == reflect.Bool) {
			return fmt.Errorf("%s must be %s", key, kindName(field))
		}
		if !isText {
			text = string(raw)
		}
		if err := setText(field, text); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// setText reads one value from its text. The error never contains the text.
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

var (
	envWord   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	reference = regexp.MustCompile(`\$\$\{|\$\{[^}]*\}?`) // $${, or ${NAME}, or a malformed ${NAME
)

// expandEnv replaces ${NAME} by the value of the variable NAME, and "$${" by "${". A
// variable that is missing or empty is an error.
func expandEnv(text string, env Environ) (out string, err error) {
	out = reference.ReplaceAllStringFunc(text, func(match string) string {
		name, closed := strings.CutSuffix(strings.TrimPrefix(match, "${"), "}")
		switch {
		case err != nil: // only the first fault counts
		case match == "$${":
			return "${"
		case !closed:
			err = errors.New("a ${ is not closed (write $${ for the characters ${)")
		case !envWord.MatchString(name):
			err = errors.New("${…} must contain only the name of an environment variable")
		case env[name] == "":
			err = fmt.Errorf("the environment variable %s is not set, or empty", name)
		}
		return env[name]
	})
	return out, err
}

// eachLeaf visits every key that has a value.
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

// shown returns how a message shows a key of the file. An unusual key is not shown, because
// it may be a secret that was pasted in the wrong place.
func shown(key string) string {
	if plainKey.MatchString(key) {
		return key
	}
	return "…"
}

// didYouMean suggests the key that was probably meant.
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

// distance is the edit distance of two words.
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
