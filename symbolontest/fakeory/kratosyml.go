package fakeory

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-jsonnet"
	"go.yaml.in/yaml/v3"
)

// HooksFromKratos reads the webhooks of sign-up and sign-in by password from a kratos.yml
// or a part of it, such as the output of `symbolon actions print`.
// Jsonnet bodies in base64:// URLs are evaluated as Ory does.
//
// As in Ory, a method with its own list of hooks does not use the global list. A parse
// hook in the global list of registration or settings is never called, and Ory reports no
// error.
func HooksFromKratos(config []byte) (Hooks, error) {
	var file struct {
		SelfService struct {
			Flows map[string]struct {
				After yamlAfter `yaml:"after"`
			} `yaml:"flows"`
		} `yaml:"selfservice"`
	}
	if err := yaml.Unmarshal(config, &file); err != nil {
		return Hooks{}, fmt.Errorf("read kratos.yml: %w", err)
	}
	flows := file.SelfService.Flows
	list := func(flow string, own yamlMethod) (hooks []Hook, session bool, err error) {
		if hooks, session, err = webhooks(own.Hooks); err != nil {
			return nil, false, fmt.Errorf("read the hooks of %s: %w", flow, err)
		}
		if len(own.Hooks) > 0 {
			return hooks, session, nil
		}
		if hooks, session, err = webhooks(flows[flow].After.Hooks); err != nil {
			return nil, false, fmt.Errorf("read the hooks of %s: %w", flow, err)
		}
		kept := hooks[:0]
		for _, h := range hooks {
			if !h.Parse {
				kept = append(kept, h)
			}
		}
		return kept, session, nil
	}
	var out Hooks
	var session bool
	var errs [4]error
	out.Registration, session, errs[0] = list("registration", flows["registration"].After.Password)
	out.Login, _, errs[1] = list("login", flows["login"].After.Password)
	out.Settings, _, errs[2] = list("settings", flows["settings"].After.Profile)
	out.Verification, _, errs[3] = list("verification", yamlMethod{})
	out.WithoutSession = !session
	return out, errors.Join(errs[:]...)
}

type yamlAfter struct {
	Hooks    []yamlHook `yaml:"hooks"`
	Password yamlMethod `yaml:"password"`
	Profile  yamlMethod `yaml:"profile"`
}

type yamlMethod struct {
	Hooks []yamlHook `yaml:"hooks"`
}

type yamlHook struct {
	Hook   string `yaml:"hook"`
	Config struct {
		URL      string            `yaml:"url"`
		Method   string            `yaml:"method"`
		Body     string            `yaml:"body"`
		Headers  map[string]string `yaml:"headers"`
		Events   *bool             `yaml:"emit_analytics_event"`
		Response struct {
			Parse  bool `yaml:"parse"`
			Ignore bool `yaml:"ignore"`
		} `yaml:"response"`
		Auth struct {
			Type   string `yaml:"type"`
			Config struct {
				Name     string `yaml:"name"`
				Value    string `yaml:"value"`
				In       string `yaml:"in"`
				User     string `yaml:"user"`
				Password string `yaml:"password"`
			} `yaml:"config"`
		} `yaml:"auth"`
	} `yaml:"config"`
}

func webhooks(list []yamlHook) (hooks []Hook, session bool, err error) {
	for _, y := range list {
		switch y.Hook {
		case "session":
			session = true
		case "web_hook":
			h, err := y.webhook()
			if err != nil {
				return nil, false, err
			}
			hooks = append(hooks, h)
		}
	}
	return hooks, session, nil
}

func (y yamlHook) webhook() (Hook, error) {
	c := y.Config
	h := Hook{URL: c.URL, Method: c.Method, Header: http.Header{}, Parse: c.Response.Parse, Ignore: c.Response.Ignore,
		WithoutIDs: c.Events != nil && !*c.Events}
	if h.Parse && h.Ignore {
		return h, fmt.Errorf("hook %s: Ory refuses ignore together with parse", c.URL)
	}
	for name, value := range c.Headers {
		h.Header.Set(name, value)
	}
	switch auth := c.Auth; {
	case auth.Type == "basic_auth":
		h.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(auth.Config.User+":"+auth.Config.Password)))
	case auth.Type == "api_key" && auth.Config.In == "cookie":
		h.Header.Set("Cookie", auth.Config.Name+"="+auth.Config.Value)
	case auth.Type == "api_key":
		h.Header.Set(auth.Config.Name, auth.Config.Value)
	}
	encoded, ok := strings.CutPrefix(c.Body, "base64://")
	snippet, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return h, fmt.Errorf("hook %s: its body is not a base64:// URL, and the fake reads no other URL", c.URL)
	}
	h.Body = Jsonnet(string(snippet))
	return h, nil
}

// Jsonnet returns a Hook.Body that evaluates a Jsonnet function(ctx), as Ory does.
func Jsonnet(snippet string) func(ctx json.RawMessage) ([]byte, error) {
	return func(ctx json.RawMessage) ([]byte, error) {
		vm := jsonnet.MakeVM()
		vm.TLACode("ctx", string(ctx))
		body, err := vm.EvaluateAnonymousSnippet("body.jsonnet", snippet)
		if err != nil && strings.Contains(err.Error(), "RUNTIME ERROR: cancel") {
			return nil, ErrCancel
		}
		return []byte(body), err
	}
}
