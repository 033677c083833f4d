package flowui

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before you keep it")

// TestRenderRealFlows renders flows of a real Kratos v1.3.1 (testdata/*.json) and
// compares the HTML.
func TestRenderRealFlows(t *testing.T) {
	for _, tt := range []struct {
		file string
		kind Kind
		opts Options
		why  string
	}{
		{"registration", Registration, Options{Autofocus: true}, "fields, labels, required, autocomplete"},
		{"registration_errors", Registration, Options{Autofocus: true}, "a message beside its field; the wrong field gets the cursor"},
		{"registration_short_password", Registration, Options{}, "the password's own message; the password is not shown again"},
		{"registration_duplicate", Registration, Options{}, "a message about the whole form"},
		{"registration_all_fields", Registration, Options{}, "tel, number, url, date, checkbox; another provider below"},
		{"registration_second_step", Registration, Options{}, "one form per way to go on; the passkey needs a script and is left out"},
		{"login", Login, Options{Autofocus: true}, "the identifier belongs to all methods"},
		{"login_many_methods", Login, Options{}, "Enter presses the password's button, not the code's"},
		{"login_second_factor", Login, Options{Autofocus: true}, "app or backup code, each a form of its own"},
		{"login_refresh", Login, Options{}, "the identifier is hidden"},
		{"settings", Settings, Options{}, "one form per group, the QR code, the secret"},
		{"settings_wrong_code", Settings, Options{Autofocus: true}, "the cursor goes to what is wrong, far down"},
		{"settings_saved", Settings, Options{Autofocus: true}, "a success message; nothing is focused"},
		{"settings_backup_codes", Settings, Options{}, "codes as a list, one of them used"},
		{"settings_many_methods", Settings, Options{}, "security keys need a script and are left out"},
		{"recovery", Recovery, Options{}, ""},
		{"recovery_sent", Recovery, Options{}, "a numeric code; sending it again needs no code"},
		{"verification_done", Verification, Options{}, "a link onwards"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			golden(t, tt.file, render(t, tt.kind, tt.file, tt.opts))
		})
	}
}

// TestRenderScripts renders the same flows with Ory's script allowed.
func TestRenderScripts(t *testing.T) {
	for file, kind := range map[string]Kind{"registration_second_step": Registration, "login_many_methods": Login, "settings_many_methods": Settings} {
		t.Run(file, func(t *testing.T) {
			got := render(t, kind, file, Options{Scripts: true})
			golden(t, file+"_scripts", got)
			if strings.Contains(got, "onclick=") || strings.Contains(got, "onload=") {
				t.Error("inline scripts must not reach the page: its CSP would have to allow all of them")
			}
		})
	}
}

func render(t *testing.T, kind Kind, file string, o Options) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse(kind, raw)
	if err != nil {
		t.Fatal(err)
	}
	html, err := Render(f, o)
	if err != nil {
		t.Fatal(err)
	}
	return string(html) + "\n"
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".html")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs from the output (go test ./flowui -update, then read the difference):\n%s", path, got)
	}
}

// flow returns the smallest flow with these nodes that Parse accepts.
func flow(nodes string) string {
	return `{"id":"x","ui":{"action":"https://ory.example/submit","method":"POST","nodes":[` + nodes + `]}}`
}

const submit = `{"type":"input","group":"password","attributes":{"name":"method","type":"submit","value":"password"},"messages":[],"meta":{"label":{"id":1,"text":"Go","type":"info"}}}`

// TestRenderNodes renders one node at a time, and checks what the page must contain and
// must not contain.
func TestRenderNodes(t *testing.T) {
	for name, tt := range map[string]struct{ node, want, never string }{
		"text is the type of an unknown input": {`{"type":"input","group":"password","attributes":{"name":"a","type":"colour","value":"x"},"meta":{}}`,
			`type="text" name="a" value="x"`, "colour"},
		"a label from the name": {`{"type":"input","group":"password","attributes":{"name":"traits.nick_name","type":"text"},"meta":{}}`, `>Nick name <`, ""},
		"disabled":              {`{"type":"input","group":"password","attributes":{"name":"a","type":"text","disabled":true},"meta":{}}`, ` disabled`, ""},
		"pattern and length": {`{"type":"input","group":"code","attributes":{"name":"code","type":"text","pattern":"[0-9]+","maxlength":6},"meta":{}}`,
			`inputmode="numeric" pattern="[0-9]&#43;" maxlength="6"`, ""},
		"a big number keeps its digits": {`{"type":"input","group":"password","attributes":{"name":"n","type":"number","value":9007199254740993},"meta":{}}`, `value="9007199254740993"`, ""},
		"a ticked box":                  {`{"type":"input","group":"password","attributes":{"name":"n","type":"checkbox","value":true},"meta":{}}`, `value="true" checked`, ""},
		"an unticked box sends false": {`{"type":"input","group":"password","attributes":{"name":"n","type":"checkbox","value":false},"meta":{}}`,
			`type="hidden" name="n" value="false"`, "checked"},
		"a password is never shown again": {`{"type":"input","group":"password","attributes":{"name":"p","type":"password","value":"secret"},"meta":{}}`, `name="p"`, "secret"},
		"a button needs a script":         {`{"type":"input","group":"webauthn","attributes":{"name":"b","type":"button","onclick":"alert(1)"},"meta":{}}`, "", "alert"},
		"an object as a value":            {`{"type":"input","group":"password","attributes":{"name":"o","type":"text","value":{"a":1}},"meta":{}}`, `name="o"`, "map["},
		"an unknown node type":            {`{"type":"hologram","group":"password","attributes":{"name":"hologram"},"meta":{}}`, "", "hologram"},
		"a script is left out":            {`{"type":"script","group":"webauthn","attributes":{"src":"https://ory.example/x.js"},"meta":{}}`, "", "x.js"},
		"markup in a label": {`{"type":"input","group":"password","attributes":{"name":"a","type":"text"},"meta":{"label":{"text":"<b>Name</b>"}}}`,
			"&lt;b&gt;Name", "<b>Name"},
		"a picture that could run":        {`{"type":"img","group":"totp","attributes":{"id":"q","src":"data:image/svg+xml;base64,PHN2Zy8+"},"meta":{}}`, "", "svg"},
		"a link that could run":           {`{"type":"a","group":"code","attributes":{"id":"c","href":"javascript:alert(1)","title":{"text":"Go on"}},"meta":{}}`, "Go on", "javascript"},
		"text without a label":            {`{"type":"text","group":"code","attributes":{"id":"t","text":{"text":"Mind the gap."}},"meta":{}}`, "<p>Mind the gap.</p>", "<code>"},
		"text without text":               {`{"type":"text","group":"code","attributes":{"id":"t"},"meta":{}}`, `id="ory-0"`, ""},
		"a message at a hidden field":     {`{"type":"input","group":"password","attributes":{"name":"h","type":"hidden"},"messages":[{"text":"Odd.","type":"error"}],"meta":{}}`, `message-error" role="alert">Odd.`, ""},
		"a message of unknown type":       {`{"type":"input","group":"password","attributes":{"name":"h","type":"text"},"messages":[{"text":"Hm.","type":"x y"}],"meta":{}}`, `class="message-info">Hm.`, "x y"},
		"a button that removes is marked": {`{"type":"input","group":"totp","attributes":{"name":"totp_unlink","type":"submit","value":"true"},"meta":{}}`, "button-danger", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(Login, []byte(flow(tt.node+","+submit)))
			if err != nil {
				t.Fatal(err)
			}
			html, err := Render(f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(html), tt.want) {
				t.Errorf("want %q in:\n%s", tt.want, html)
			}
			if tt.never != "" && strings.Contains(string(html), tt.never) {
				t.Errorf("never %q in:\n%s", tt.never, html)
			}
		})
	}
}

func TestTextReplacesWords(t *testing.T) {
	f, err := Parse(Login, []byte(flow(submit)))
	if err != nil {
		t.Fatal(err)
	}
	html, err := Render(f, Options{Text: func(m Message) string {
		if m.ID == 1 {
			return "Los"
		}
		return m.Text
	}})
	if err != nil || !strings.Contains(string(html), ">Los</button>") {
		t.Errorf("the button still has Ory's text: %v\n%s", err, html)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":          ``,
		"no JSON":          `<html>`,
		"an error":         `{"error":{"code":404}}`,
		"no action":        `{"id":"x","ui":{}}`,
		"a running action": `{"id":"x","ui":{"action":"javascript:alert(1)"}}`,
		"a relative one":   `{"id":"x","ui":{"action":"/login"}}`,
		"too many nodes":   flow(strings.Repeat(submit+",", maxNodes) + submit),
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := Parse(Login, []byte(raw)); err == nil {
				t.Errorf("accepted as a flow: %+v", f)
			}
		})
	}
}

// FuzzParse checks that no input causes a panic, and that a parsed flow can be shown.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(flow(`{"type":"input","attributes":{"value":-1.5e300}}`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, kind := range []Kind{Login, Settings} {
			flow, err := Parse(kind, raw)
			if err != nil {
				return
			}
			html, err := Render(flow, Options{Autofocus: true, Scripts: true})
			if err != nil {
				t.Fatalf("parsed, but cannot be shown: %v", err)
			}
			if opened, closed := strings.Count(string(html), "<form "), strings.Count(string(html), "</form>"); opened != closed {
				t.Fatalf("%d forms opened, %d closed", opened, closed)
			}
		}
	})
}
