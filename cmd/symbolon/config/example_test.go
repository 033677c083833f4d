package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cmdtest"
)

func eachLeafPair(a, b *Config, f func(path string, a, b any)) {
	other := map[string]any{}
	eachLeaf(reflect.ValueOf(b).Elem(), "", func(path string, v reflect.Value) { other[path] = v.Interface() })
	eachLeaf(reflect.ValueOf(a).Elem(), "", func(path string, v reflect.Value) { f(path, v.Interface(), other[path]) })
}

// TestExampleConfig checks that symbolon.example.yaml has every key with its default.
func TestExampleConfig(t *testing.T) {
	text, err := os.ReadFile("../symbolon.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := load(t, string(text), cmdtest.Env())
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v %v", err, warnings)
	}
	want, _, err := load(t, "", cmdtest.Env())
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	eachLeafPair(c, want, func(path string, got, want any) {
		if fmt.Sprintf("%v", got) != fmt.Sprintf("%v", want) {
			missing = append(missing, fmt.Sprintf("%s: %v, the default is %v", path, got, want))
		}
		if !strings.Contains(string(text), path[strings.LastIndex(path, ".")+1:]+":") {
			missing = append(missing, path+" is not in it")
		}
	})
	if len(missing) > 0 {
		t.Error(strings.Join(missing, "\n"))
	}
}

func TestUnknownVariables(t *testing.T) {
	_, warnings, err := load(t, "", cmdtest.Env("SYMBOLON_ORY_ADMINURL", "x", "SYMBOLON_SERVE_PORT", "1",
		"SYMBOLON_SERVICE_HOST", "10.0.0.1", "SYMBOLON_PORT", "tcp://10.0.0.1:4460", "SYMBOLON_LOG_LEVEL", "debug", "HOME", "/"))
	if err != nil || len(warnings) != 2 {
		t.Fatalf("%v %v", err, warnings)
	}
	if got := fmt.Sprint(warnings); !strings.Contains(got, "did you mean SYMBOLON_ORY_ADMIN_URL?") || !strings.Contains(got, "SYMBOLON_SERVE_PORT is not a key") {
		t.Error(got)
	}
}
