package condition

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The limits of a condition. Nobody writes such a condition by hand.
const (
	maxLength = 1000
	maxDepth  = 20
)

// Parse reads a condition. Its error is an *[Error].
func Parse(text string) (Condition, error) {
	p := &parser{text: text}
	if len(text) > maxLength {
		return Condition{}, &Error{1, fmt.Sprintf("it is longer than %d bytes", maxLength)}
	}
	root, err := p.parse()
	if err != nil {
		return Condition{}, err
	}
	return Condition{root}, nil
}

// parser reads the tokens from left to right.
type parser struct {
	text  string
	at    int // the start of token
	end   int // the end of token
	token token
	depth int
}

type tokenKind int

const (
	theEnd tokenKind = iota
	word             // a keyword or a column
	quoted           // a column in double quotes
	text             // a text in single quotes
	number
	symbol
)

type token struct {
	kind  tokenKind
	value string // of a keyword in lower case, if it is one
}

var keywords = []string{"and", "or", "not", "is", "in", "null", "true", "false"}

func (p *parser) fault(format string, args ...any) error {
	return &Error{utf8.RuneCountInString(p.text[:p.at]) + 1, fmt.Sprintf(format, args...)}
}

func (p *parser) parse() (node, error) {
	if err := p.next(); err != nil {
		return node{}, err
	}
	n, err := p.or()
	if err == nil && p.token.kind != theEnd {
		err = p.fault("and or or is missing")
	}
	return n, err
}

func (p *parser) or() (node, error) { return p.joined("or", p.and) }

func (p *parser) and() (node, error) { return p.joined("and", p.not) }

func (p *parser) joined(by string, part func() (node, error)) (node, error) {
	first, err := part()
	all := []node{first}
	for err == nil && p.is(by) {
		if err = p.next(); err != nil {
			break
		}
		var more node
		more, err = part()
		all = append(all, more)
	}
	if err != nil || len(all) == 1 {
		return first, err
	}
	return node{word: by, of: all}, nil
}

func (p *parser) not() (node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return node{}, p.fault("it is nested too deeply")
	}
	switch {
	case p.is("not"):
		if err := p.next(); err != nil {
			return node{}, err
		}
		part, err := p.not()
		return node{word: "not", of: []node{part}}, err
	case p.symbol("("):
		if err := p.next(); err != nil {
			return node{}, err
		}
		inner, err := p.or()
		if err != nil {
			return node{}, err
		}
		return inner, p.expect(")")
	}
	return p.test()
}

// test reads a column and what is asked of it.
func (p *parser) test() (node, error) {
	n := node{column: p.token.value}
	isColumn := p.token.kind == quoted || p.token.kind == word && !slices.Contains(keywords, p.token.value)
	if !isColumn {
		return n, p.fault("the name of a column is missing")
	}
	if !IsName(n.column) {
		return n, p.fault("the name of a column must be " + NameRule)
	}
	if err := p.next(); err != nil {
		return n, err
	}
	switch {
	case p.is("is"):
		return p.isTest(n)
	case p.is("in"), p.is("not"):
		return p.inTest(n)
	case p.symbol("="), p.symbol("<>"), p.symbol("!="):
		n.test = strings.Replace(p.token.value, "!=", "<>", 1)
		return p.valued(n)
	}
	return n, nil
}

func (p *parser) isTest(n node) (node, error) {
	n.test = "is "
	if err := p.next(); err != nil {
		return n, err
	}
	if p.is("not") {
		n.test += "not "
		if err := p.next(); err != nil {
			return n, err
		}
	}
	if !p.is("null") && !p.is("true") && !p.is("false") {
		return n, p.fault("null, true or false is missing")
	}
	n.test += p.token.value
	return n, p.next()
}

func (p *parser) inTest(n node) (node, error) {
	if p.is("not") {
		n.test = "not "
		if err := p.next(); err != nil {
			return n, err
		}
	}
	if n.test += "in"; !p.is("in") {
		return n, p.fault("in is missing")
	}
	if err := p.next(); err != nil {
		return n, err
	}
	if !p.symbol("(") {
		return n, p.fault("( is missing")
	}
	for {
		var err error
		if n, err = p.valued(n); err != nil {
			return n, err
		}
		if n.values[0].kind != n.values[len(n.values)-1].kind {
			return n, p.fault("the values of a list must be of one kind")
		}
		if !p.symbol(",") {
			return n, p.expect(")")
		}
	}
}

// valued reads the literal after the token, and adds it to the test.
func (p *parser) valued(n node) (node, error) {
	if err := p.next(); err != nil {
		return n, err
	}
	v := literal{text: p.token.value}
	switch {
	case p.token.kind == text:
		v.kind = Text
	case p.token.kind == number:
		v.kind = Number
	case p.is("true"), p.is("false"):
		v.kind = Boolean
	case p.is("null"):
		return n, p.fault("nothing is equal to null: write is null or is not null")
	default:
		return n, p.fault("a value is missing: a text in single quotes, a whole number, true or false")
	}
	n.values = append(n.values, v)
	return n, p.next()
}

func (p *parser) is(keyword string) bool { return p.token == token{word, keyword} }

func (p *parser) symbol(s string) bool { return p.token == token{symbol, s} }

func (p *parser) expect(s string) error {
	if !p.symbol(s) {
		return p.fault("%s is missing", s)
	}
	return p.next()
}

var (
	wordForm   = regexp.MustCompile(`^[\p{L}_][\p{L}\p{M}\p{N}_]*`)
	quotedForm = regexp.MustCompile(`^"[^"]*"`)
	textForm   = regexp.MustCompile(`^'(?:[^']|'')*'`)
	numberForm = regexp.MustCompile(`^-?[0-9]+`)
	symbolForm = regexp.MustCompile(`^(?:<>|!=|[=(),])`)
)

// next reads the next token.
func (p *parser) next() error {
	rest := strings.TrimLeft(p.text[p.end:], " \t\r\n")
	p.at = len(p.text) - len(rest)
	p.end = p.at
	take := func(form *regexp.Regexp, kind tokenKind) bool {
		found := form.FindString(rest)
		p.end, p.token = p.at+len(found), token{kind, found}
		return found != ""
	}
	switch {
	case rest == "":
		p.token = token{}
	case take(wordForm, word):
		lower := strings.ToLower(p.token.value)
		if len(lower) == len(p.token.value) && slices.Contains(keywords, lower) { // the Turkish İ becomes an i, which is shorter
			p.token.value = lower
		}
	case take(quotedForm, quoted):
		p.token.value = strings.Trim(p.token.value, `"`)
	case take(textForm, text):
		p.token.value = strings.ReplaceAll(p.token.value[1:len(p.token.value)-1], "''", "'")
		if odd(p.token.value) {
			return p.fault("a text must not hold a backslash or a control character")
		}
	case take(numberForm, number):
		if _, err := strconv.ParseInt(p.token.value, 10, 64); err != nil {
			return p.fault("the number is too large")
		}
		if wordForm.MatchString(p.text[p.end:]) || strings.HasPrefix(p.text[p.end:], ".") {
			return p.fault("a number must be a whole number")
		}
	case !take(symbolForm, symbol):
		if strings.HasPrefix(rest, "'") || strings.HasPrefix(rest, `"`) {
			return p.fault("a quote is not closed")
		}
		return p.fault("this character has no meaning here; there are and, or, not, is, in, =, <>, parentheses, columns and values. A column with '-', '$' or a blank in its name needs double quotes")
	}
	return nil
}

// odd reports whether a text could mean something else to a database than to a reader.
// Postgres reads a backslash as an escape if standard_conforming_strings is off.
func odd(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r == '\\' || unicode.IsControl(r) })
}
