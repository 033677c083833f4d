package adopt

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Format is how a plan lies in a file.
type Format string

const (
	CSV  Format = "csv"  // with a header; opens in a spreadsheet
	JSON Format = "json" // one object a line
)

var header = []string{"class", "identity_id", "user_id", "by", "do", "why"}

// Writer writes a plan, line by line. Close ends it; the io.Writer stays open.
type Writer struct {
	csv  *csv.Writer
	json *json.Encoder
	buf  *bufio.Writer
}

// NewWriter begins a plan.
func NewWriter(w io.Writer, f Format) *Writer {
	out := &Writer{buf: bufio.NewWriter(w)}
	if f == JSON {
		out.json = json.NewEncoder(out.buf)
		out.json.SetEscapeHTML(false)
		return out
	}
	out.csv = csv.NewWriter(out.buf)
	_ = out.csv.Write(header) // an error stays in the buffer for Close
	return out
}

// Write writes one line.
func (w *Writer) Write(l Line) error {
	if w.json != nil {
		return w.json.Encode(l)
	}
	cells := []string{string(l.Class), string(l.Identity), string(l.User), string(l.By), string(l.Do), l.Why}
	for i, c := range cells {
		cells[i] = tame(c)
	}
	return w.csv.Write(cells)
}

// Close writes what is left.
func (w *Writer) Close() error {
	if w.csv != nil {
		w.csv.Flush()
		if err := w.csv.Error(); err != nil {
			return err
		}
	}
	return w.buf.Flush()
}

// tame keeps a spreadsheet from taking a cell for a formula: an apostrophe stands in
// front of what could begin one, and of an apostrophe, so that wild can take it away.
func tame(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r'", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func wild(cell string) string { return strings.TrimPrefix(cell, "'") }

// maxLine bounds one line of a plan, and maxPlan those that a plan may have.
const (
	maxLine = 64 << 10
	maxPlan = 50_000_000
)

// Read reads a plan, CSV or JSON, and keeps the lines that are to be bound: the others
// are for people to read. It refuses what is no plan, names the line, and believes
// nothing of it: Apply compares each line with the present.
func Read(r io.Reader) ([]Line, error) {
	b := bufio.NewReader(r)
	if bom, err := b.Peek(3); err == nil && bytes.Equal(bom, []byte("\xef\xbb\xbf")) { // a spreadsheet's
		_, _ = b.Discard(3)
	}
	first, err := b.Peek(1)
	if err != nil {
		return nil, errors.New("the plan is empty")
	}
	read := readCSV
	if first[0] == '{' {
		read = readJSON
	}
	next := read(b)
	var out []Line
	for n := 1; ; n++ {
		l, err := next()
		if errors.Is(err, io.EOF) {
			return out, unique(out)
		}
		if err == nil {
			err = l.check()
		}
		if err == nil && n > maxPlan {
			err = errors.New("a plan does not have so many")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the plan: %w", n, err)
		}
		if l.Why = ""; l.Do == Bind { // why is for people
			out = append(out, l)
		}
	}
}

// readCSV reads the header, and returns what reads the lines. Columns may stand in any
// order, as a spreadsheet leaves them; why may be missing.
func readCSV(b *bufio.Reader) func() (Line, error) {
	r := csv.NewReader(&lineLimit{r: b})
	at := map[string]int{}
	names, err := r.Read()
	for i, name := range names {
		at[strings.TrimSpace(name)] = i
	}
	for _, name := range header[:5] {
		if _, ok := at[name]; !ok && err == nil {
			err = fmt.Errorf("its header has no column %s", name)
		}
	}
	return func() (Line, error) {
		if err != nil {
			return Line{}, headless(err)
		}
		cells, err := r.Read()
		if err != nil {
			return Line{}, err
		}
		cell := func(name string) string { return wild(cells[at[name]]) }
		return Line{Class: Class(cell("class")), Identity: symbolon.IdentityID(cell("identity_id")), User: symbolon.UserID(cell("user_id")),
			By: symbolon.Proof(cell("by")), Do: Step(cell("do"))}, nil
	}
}

// headless keeps the end of an empty file from looking like the end of a plan.
func headless(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it has no header")
	}
	return err
}

func readJSON(b *bufio.Reader) func() (Line, error) {
	d := json.NewDecoder(&lineLimit{r: b})
	d.DisallowUnknownFields()
	return func() (l Line, err error) {
		err = d.Decode(&l)
		return l, err
	}
}

// lineLimit ends a file that has a line longer than any plan's.
type lineLimit struct {
	r *bufio.Reader
	n int
}

func (l *lineLimit) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for _, c := range p[:n] {
		if l.n++; c == '\n' {
			l.n = 0
		}
		if l.n > maxLine {
			return 0, fmt.Errorf("it is longer than %d bytes", maxLine)
		}
	}
	return n, err
}

// check says what is wrong with a line that was read.
func (l *Line) check() error {
	if !slices.Contains(Classes(), l.Class) {
		return fmt.Errorf("class %.40q is none of those that a plan has", l.Class)
	}
	switch l.Do {
	case "":
		return nil
	case Bind:
	default:
		return fmt.Errorf("do %.40q: it is %q or empty", l.Do, Bind)
	}
	id, err := symbolon.ParseIdentityID(string(l.Identity))
	if err != nil {
		return err
	}
	l.Identity = id
	if l.User == "" || len(l.User) > 255 || strings.ContainsRune(string(l.User), 0) {
		return errors.New("it names no user that could be bound")
	}
	return CheckProof(l.By)
}

// CheckProof says what is wrong with a proof; nil: nothing.
func CheckProof(p symbolon.Proof) error {
	key, inMetadata := p.MetadataKey()
	column, inColumn := p.Column()
	switch {
	case p == symbolon.ByIdentityColumn, p == symbolon.ByVoucher, p == symbolon.ByExternalID, p == symbolon.ByVerifiedEmail:
	case inMetadata && plainName(key), inColumn && plainName(column):
	default:
		return fmt.Errorf("%.80q is no way to know a user by", p)
	}
	return nil
}

func plainName(s string) bool {
	odd := func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, odd)
}

// unique refuses a plan that binds somebody twice.
func unique(lines []Line) error {
	identities, users := map[symbolon.IdentityID]bool{}, map[symbolon.UserID]bool{}
	for _, l := range lines {
		if identities[l.Identity] || users[l.User] {
			return fmt.Errorf("the plan binds identity %s or user %.255q twice", l.Identity, l.User)
		}
		identities[l.Identity], users[l.User] = true, true
	}
	return nil
}
