package adopt

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/symbolon-id/symbolon"
)

// Format is the file format of a plan.
type Format string

const (
	CSV  Format = "csv"  // with a header; a spreadsheet can open it
	JSON Format = "json" // one object per line
)

var header = []string{"class", "identity_id", "user_id", "by", "do", "why"}

// Writer writes a plan line by line. Close flushes it and leaves the io.Writer open.
type Writer struct {
	csv  *csv.Writer
	json *json.Encoder
	buf  *bufio.Writer // for JSON
}

// NewWriter begins a plan.
func NewWriter(w io.Writer, f Format) *Writer {
	if f == JSON {
		buf := bufio.NewWriter(w)
		out := json.NewEncoder(buf)
		out.SetEscapeHTML(false)
		return &Writer{json: out, buf: buf}
	}
	out := csv.NewWriter(w)
	_ = out.Write(header) // an error stays in the buffer for Close
	return &Writer{csv: out}
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

// Close writes the buffered lines.
func (w *Writer) Close() error {
	if w.json != nil {
		return w.buf.Flush()
	}
	w.csv.Flush()
	return w.csv.Error()
}

// tame prevents a spreadsheet from reading a cell as a formula. It puts an apostrophe before
// a first character that could begin a formula. It also puts one before a first apostrophe,
// so that wild can remove exactly what tame has added.
func tame(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r'", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func wild(cell string) string { return strings.TrimPrefix(cell, "'") }

// maxLine is the maximum size of a line in bytes, maxPlan the maximum number of lines.
const (
	maxLine = 64 << 10
	maxPlan = 50_000_000
)

// Read reads a plan in CSV or JSON and returns the lines with step Bind; the other lines
// are for people to read. It refuses a file that is not a plan; the error names the line.
// Nothing in the file is trusted, because Apply checks each line again.
func Read(r io.Reader) ([]Line, error) {
	b := bufio.NewReader(r)
	if bom, err := b.Peek(3); err == nil && bytes.Equal(bom, []byte("\xef\xbb\xbf")) { // some spreadsheets write a BOM
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
	next, err := read(b)
	if err != nil {
		return nil, fmt.Errorf("line 1 of the plan: %w", err)
	}
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
			err = errors.New("the plan has too many lines")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the plan: %w", n, err)
		}
		if l.Why = ""; l.Do == Bind { // the column why is for people
			out = append(out, l)
		}
	}
}

// readCSV reads the header and returns a function that reads the next line. The columns may
// be in any order, because spreadsheets may move them. The column why may be missing.
func readCSV(b *bufio.Reader) (next func() (Line, error), err error) {
	r := csv.NewReader(&lineLimit{r: b})
	names, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it has no header")
	}
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for i, name := range names {
		at[strings.TrimSpace(name)] = i
	}
	for _, name := range header[:5] {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("its header has no column %s", name)
		}
	}
	return func() (Line, error) {
		cells, err := r.Read()
		if err != nil {
			return Line{}, err
		}
		cell := func(name string) string { return wild(cells[at[name]]) }
		return Line{Class: Class(cell("class")), Identity: symbolon.IdentityID(cell("identity_id")), User: symbolon.UserID(cell("user_id")),
			By: symbolon.Proof(cell("by")), Do: Step(cell("do"))}, nil
	}, nil
}

func readJSON(b *bufio.Reader) (next func() (Line, error), err error) {
	d := json.NewDecoder(&lineLimit{r: b})
	d.DisallowUnknownFields()
	return func() (l Line, err error) {
		err = d.Decode(&l)
		return l, err
	}, nil
}

// lineLimit returns an error if a line is longer than maxLine.
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

// check validates a line that was read.
func (l *Line) check() error {
	if !slices.Contains(Classes(), l.Class) {
		return fmt.Errorf("class %.40q does not exist", l.Class)
	}
	if l.Do == "" {
		return nil
	}
	if l.Do != Bind {
		return fmt.Errorf("do is %.40q, and must be %q or empty", l.Do, Bind)
	}
	id, err := symbolon.ParseIdentityID(string(l.Identity))
	if err != nil {
		return err
	}
	l.Identity = id
	if l.User == "" || len(l.User) > 255 || strings.ContainsRune(string(l.User), 0) {
		return errors.New("its user_id is not valid")
	}
	return CheckProof(l.By)
}

// CheckProof returns an error if a proof is not valid.
func CheckProof(p symbolon.Proof) error {
	key, inMetadata := p.MetadataKey()
	column, inColumn := p.Column()
	switch {
	case p == symbolon.ByIdentityColumn, p == symbolon.ByVoucher, p == symbolon.ByExternalID, p == symbolon.ByVerifiedEmail:
		return nil
	case inMetadata && plainName.MatchString(key), inColumn && plainName.MatchString(column):
		return nil
	}
	return fmt.Errorf("%.80q is not a proof that adopt knows", p)
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// unique refuses a plan that links an identity or a user twice.
func unique(lines []Line) error {
	identities, users := map[symbolon.IdentityID]bool{}, map[symbolon.UserID]bool{}
	for _, l := range lines {
		if identities[l.Identity] || users[l.User] {
			return fmt.Errorf("the plan links identity %s or user %.255q twice", l.Identity, l.User)
		}
		identities[l.Identity], users[l.User] = true, true
	}
	return nil
}
