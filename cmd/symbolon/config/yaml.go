package config

import (
	"bytes"
	"errors"
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

// read reads the top mapping of the one document.
func (y *yamlReader) read(text []byte, c *Config) {
	if len(text) > maxConfig {
		y.faultAt("", y.name, "the file is larger than 1 MB")
		return
	}
	if n := tabbed(text); n > 0 {
		y.faultAt("", y.line(n), "a line begins with a tab; YAML is indented with spaces")
		return
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case err != nil || len(doc.Content) != 1:
		y.faultAt("", y.name, "%s", yamlFault(err))
	case d.Decode(&more) == nil:
		y.faultAt("", y.line(more.Line), "a second document follows; the file must contain only one")
	case doc.Content[0].Kind != yaml.MappingNode:
		y.faultAt("", y.name, "the file must be a mapping: ory: …, secret: …")
	default:
		y.value(doc.Content[0], reflect.ValueOf(c).Elem(), "")
	}
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
		return "the file is empty; without a file, Symbolon uses the defaults"
	}
	return "it cannot be read: " + quoted.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), "'…'")
}

func (y *yamlReader) line(n int) string { return fmt.Sprintf("%s line %d", y.name, n) }

var duration = reflect.TypeFor[time.Duration]()

// value reads a node into v, which may have any type of the configuration.
func (y *yamlReader) value(n *yaml.Node, v reflect.Value, path string) {
	if v.Kind() != reflect.Struct {
		y.where[path] = y.line(n.Line)
	}
	if err := y.node(n, v, path); err != nil {
		y.faultAt(path, y.line(n.Line), "%s", err)
	}
}

// node reads a node. The error is the fault of the node itself; the faults of nodes below it
// are reported already.
func (y *yamlReader) node(n *yaml.Node, v reflect.Value, path string) error {
	isNull := n.Kind == yaml.ScalarNode && n.Tag == "!!null"
	overruled := !y.free && y.env[EnvName(path)] != ""
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return errors.New("anchors and aliases are not supported: write the value itself")
	case n.Style&yaml.TaggedStyle != 0:
		return errors.New("tags (!…) are not supported")
	case isNull && v.Kind() == reflect.Struct:
		return nil // a section whose keys are all commented out
	case isNull:
		return errors.New("it has no value: give it a value, or leave the key out")
	case v.Kind() == reflect.Struct:
		return y.section(n, v, path)
	case v.Kind() == reflect.Slice:
		return y.list(n, v, path, overruled)
	case v.Kind() == reflect.Map:
		return y.mapping(n, v, path, overruled)
	case n.Kind != yaml.ScalarNode:
		return fmt.Errorf("it must be %s", kindName(v))
	}
	return y.scalar(n, v, path, overruled)
}

func (y *yamlReader) section(n *yaml.Node, v reflect.Value, path string) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("it must be a mapping: %s", strings.Join(keysOf(v.Type()), ", "))
	}
	y.members(n, path, func(key, value *yaml.Node, at string) {
		if field, ok := fieldOf(v, key.Value); ok {
			y.value(value, field, at)
		} else {
			y.faultAt(at, y.line(key.Line), "there is no such key%s", didYouMean(key.Value, keysOf(v.Type())))
		}
	})
	return nil
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
			y.faultAt(at, y.line(key.Line), "the file contains this key twice")
		default:
			seen[key.Value] = true
			f(key, value, at)
		}
	}
}

var errText = errors.New("it must be text")

// isPlain reports whether a node is a value without an anchor or a tag.
func isPlain(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0
}

func (y *yamlReader) list(n *yaml.Node, v reflect.Value, path string, overruled bool) error {
	if n.Kind != yaml.SequenceNode {
		return errors.New("it must be a list: [a, b]")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		err := errText
		if isPlain(item) {
			err = y.scalar(item, v.Index(i), path, overruled)
		}
		if err != nil {
			y.faultAt(fmt.Sprintf("%s[%d]", path, i), y.line(item.Line), "%s", err)
		}
	}
	return nil
}

// mapping reads a map whose keys are chosen by the operator: of texts, or auth.policies.
func (y *yamlReader) mapping(n *yaml.Node, v reflect.Value, path string, overruled bool) error {
	policies := v.Type() == policiesType
	switch {
	case n.Kind != yaml.MappingNode && policies:
		return errors.New("it must be a mapping: {NAME: {aal: aal2}}")
	case n.Kind != yaml.MappingNode:
		return errors.New("it must be a mapping whose values are text")
	case overruled && policies:
		return nil
	}
	v.Set(reflect.MakeMap(v.Type()))
	below := *y
	below.free = true
	y.members(n, path, func(key, value *yaml.Node, at string) {
		y.where[at] = y.line(key.Line)
		item := reflect.New(v.Type().Elem()).Elem()
		if policies {
			below.value(value, item, at)
		} else if err := y.literal(value, item, overruled); err != nil {
			y.faultAt(at, y.line(value.Line), "%s", err)
			return
		}
		v.SetMapIndex(reflect.ValueOf(key.Value), item)
	})
	return nil
}

// literal reads a text. A number or true needs no quotes, because users.columns accepts
// literals. A list becomes the text of a list.
func (y *yamlReader) literal(n *yaml.Node, v reflect.Value, overruled bool) error {
	text := n.Value
	if n.Kind == yaml.SequenceNode && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0 {
		var items []string
		for _, item := range n.Content {
			if !isPlain(item) || item.Value == "" {
				return errText
			}
			items = append(items, item.Value)
		}
		text = "[" + strings.Join(items, ", ") + "]"
	} else if !isPlain(n) || text == "" {
		return errText
	}
	if overruled {
		return nil
	}
	text, err := expandEnv(text, y.env)
	v.SetString(text)
	return err
}

// scalar reads a value. ${NAME} is replaced after the file is parsed, so that a value of the
// environment cannot become YAML.
func (y *yamlReader) scalar(n *yaml.Node, v reflect.Value, path string, overruled bool) error {
	if overruled {
		return nil
	}
	text, err := expandEnv(n.Value, y.env)
	if err != nil {
		return err
	}
	_, hidden := v.Interface().(Hidden)
	y.open = y.open || hidden && text == n.Value && text != "" && (path != "database" || strings.Contains(text, "@"))
	wantsText := v.Kind() == reflect.String || v.Type() == duration
	isText := n.Tag == "!!str"
	switch {
	case text != n.Value || isText == wantsText:
		return setText(v, text)
	case isText || v.Type() == duration:
		return fmt.Errorf("it must be %s", kindName(v))
	}
	return errors.New("it must be text: put it in quotes")
}
