package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxConfig is the largest file that is read.
const maxConfig = 1 << 20

// yamlReader fills a Config from a file. It reports every key that it does not know.
type yamlReader struct {
	*report
	name string  // of the file
	env  Environ // for ${NAME}, and for the keys that a variable overrides
	open bool    // the file contains a secret
	free bool    // the reader is below a key that the operator chose, which has no variables
}

func (y *yamlReader) read(text []byte, c *Config) {
	root, ok := y.parse(text)
	if !ok {
		return
	}
	y.value(root, reflect.ValueOf(c).Elem(), "")
}

// parse returns the top mapping of the one document.
func (y *yamlReader) parse(text []byte) (*yaml.Node, bool) {
	if len(text) > maxConfig {
		y.faultAt("", y.name, "the file is larger than 1 MB")
		return nil, false
	}
	if n := tabbed(text); n > 0 {
		y.faultAt("", y.line(n), "a line begins with a tab; YAML is indented with spaces")
		return nil, false
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil || len(doc.Content) != 1 {
		y.faultAt("", y.name, "%s", yamlFault(err))
		return nil, false
	}
	if err := d.Decode(&more); err == nil {
		y.faultAt("", y.line(more.Line), "a second document follows; the file must be one")
		return nil, false
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		y.faultAt("", y.name, "the file must be a mapping: ory: …, secret: …")
		return nil, false
	}
	return doc.Content[0], true
}

func tabbed(text []byte) int {
	for i, line := range bytes.Split(text, []byte("\n")) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t")) {
			return i + 1
		}
	}
	return 0
}

var quoted = regexp.MustCompile("'[^']*'|\"[^\"]*\"|`[^`]*`")

// yamlFault is the parser's message without the words of the file that it quotes, because
// they may be part of a secret.
func yamlFault(err error) string {
	if err == nil || err.Error() == "EOF" {
		return "the file is empty; leave it out to run on the defaults"
	}
	return "it cannot be read: " + quoted.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "'…'")
}

func (y *yamlReader) line(n int) string { return fmt.Sprintf("%s line %d", y.name, n) }

var duration = reflect.TypeFor[time.Duration]()

// value reads a node into v, which may have any type of the configuration.
func (y *yamlReader) value(n *yaml.Node, v reflect.Value, path string) {
	where := y.line(n.Line)
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		y.faultAt(path, where, "anchors and aliases are not supported: write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		y.faultAt(path, where, "tags (!…) are not supported")
	case v.Kind() == reflect.Struct:
		y.section(n, v, path)
	default:
		y.where[path] = where
		y.leaf(n, v, path)
	}
}

func (y *yamlReader) leaf(n *yaml.Node, v reflect.Value, path string) {
	where := y.line(n.Line)
	overruled := !y.free && y.env[EnvName(path)] != ""
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		y.faultAt(path, where, "it has no value: give it one or leave the key out")
	case v.Kind() == reflect.Slice:
		y.list(n, v, path, overruled)
	case v.Kind() == reflect.Map:
		y.mapping(n, v, path, overruled)
	case n.Kind != yaml.ScalarNode:
		y.faultAt(path, where, "it must be %s", kindName(v))
	default:
		y.scalar(n, v, path, overruled)
	}
}

func (y *yamlReader) section(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a section whose keys are all commented out
	}
	if n.Kind != yaml.MappingNode {
		y.faultAt(path, y.line(n.Line), "it must be a mapping: %s", strings.Join(keysOf(v.Type()), ", "))
		return
	}
	y.members(n, path, func(key, value *yaml.Node, at string) {
		field, ok := fieldOf(v, key.Value)
		if !ok {
			y.faultAt(at, y.line(key.Line), "there is no such key%s", didYouMean(key.Value, keysOf(v.Type())))
			return
		}
		y.value(value, field, at)
	})
}

// members calls f for every key of a mapping, and refuses equal keys.
func (y *yamlReader) members(n *yaml.Node, path string, f func(key, value *yaml.Node, at string)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && !y.more; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, shown(key.Value))
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			y.faultAt(at, y.line(key.Line), "a key must be a plain word")
		case seen[key.Value]:
			y.faultAt(at, y.line(key.Line), "the key is there twice")
		default:
			seen[key.Value] = true
			f(key, value, at)
		}
	}
}

func (y *yamlReader) list(n *yaml.Node, v reflect.Value, path string, overruled bool) {
	if n.Kind != yaml.SequenceNode {
		y.faultAt(path, y.line(n.Line), "it must be a list: [a, b]")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.Kind != yaml.ScalarNode || item.Anchor != "" || item.Style&yaml.TaggedStyle != 0 {
			y.faultAt(at, y.line(item.Line), "it must be text")
			continue
		}
		y.scalar(item, out.Index(i), at, overruled)
	}
	v.Set(out)
}

// mapping reads a map whose keys are chosen by the operator: of texts, or auth.policies. A
// number or true needs no quotes, because users.columns accepts literals.
func (y *yamlReader) mapping(n *yaml.Node, v reflect.Value, path string, overruled bool) {
	policies := v.Type() == policiesType
	switch {
	case n.Kind != yaml.MappingNode && policies:
		y.faultAt(path, y.line(n.Line), "it must be a mapping: {NAME: {aal: aal2}}")
		return
	case n.Kind != yaml.MappingNode:
		y.faultAt(path, y.line(n.Line), "it must be a mapping of text to text")
		return
	case overruled && policies:
		return
	}
	out := reflect.MakeMap(v.Type())
	below := *y
	below.free = true
	y.members(n, path, func(key, value *yaml.Node, at string) {
		y.where[at] = y.line(key.Line)
		item := reflect.New(v.Type().Elem()).Elem()
		switch {
		case policies:
			below.value(value, item, at)
		case value.Kind != yaml.ScalarNode || value.Anchor != "" || value.Style&yaml.TaggedStyle != 0 || value.Value == "":
			y.faultAt(at, y.line(value.Line), "it must be text")
			return
		default:
			text, ok := y.expand(value, at, overruled)
			if !ok {
				return
			}
			item.SetString(text)
		}
		out.SetMapIndex(reflect.ValueOf(key.Value), item)
	})
	v.Set(out)
}

func (y *yamlReader) scalar(n *yaml.Node, v reflect.Value, path string, overruled bool) {
	text, ok := y.expand(n, path, overruled)
	if !ok {
		return
	}
	_, hidden := v.Interface().(Hidden)
	y.open = y.open || hidden && text == n.Value && text != "" && (path != "database" || strings.Contains(text, "@"))
	wantsText := v.Kind() == reflect.String || v.Type() == duration
	if isText := n.Tag == "!!str"; text == n.Value && isText != wantsText {
		if isText || v.Type() == duration {
			y.faultAt(path, y.line(n.Line), "it must be %s", kindName(v))
		} else {
			y.faultAt(path, y.line(n.Line), "it must be text: put it in quotes")
		}
		return
	}
	if err := setText(v, text); err != nil {
		y.faultAt(path, y.line(n.Line), "%s", err)
	}
}

// expand replaces ${NAME} after the file is parsed, so that a value of the environment
// cannot become YAML.
func (y *yamlReader) expand(n *yaml.Node, path string, overruled bool) (string, bool) {
	if overruled {
		return "", false
	}
	text, err := expandEnv(n.Value, y.env)
	if err != nil {
		y.faultAt(path, y.line(n.Line), "%s", err)
		return "", false
	}
	return text, true
}
