package adopt_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/adopt"
)

func written(t testing.TB, f adopt.Format, lines ...adopt.Line) string {
	t.Helper()
	var b bytes.Buffer
	w := adopt.NewWriter(&b, f)
	for _, l := range lines {
		if err := w.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestCells checks that a spreadsheet reads no cell as a formula, and that Read returns
// every cell unchanged.
func TestCells(t *testing.T) {
	for _, user := range []symbolon.UserID{"=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "'x", "''", "'", "x", "a,b", `"`, "a\nb", "=cmd|' /C calc'!A0"} {
		line := adopt.Line{Class: adopt.Named, Identity: identityID(1), User: user, By: symbolon.ByExternalID, Do: adopt.Bind, Why: string(user)}
		text := written(t, adopt.CSV, line)
		records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, cell := range records[1] {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("%q begins a formula", cell)
			}
		}
		for _, f := range []adopt.Format{adopt.CSV, adopt.JSON} {
			got, err := adopt.Read(strings.NewReader(written(t, f, line)))
			if err != nil || len(got) != 1 || got[0].User != user || got[0].Identity != line.Identity || got[0].By != line.By {
				t.Errorf("%s %q: %+v %v", f, user, got, err)
			}
		}
	}
}

// TestReadRefuses checks that Read refuses files that are not plans, and names the line.
func TestReadRefuses(t *testing.T) {
	const head = "class,identity_id,user_id,by,do,why\n"
	id := string(identityID(1))
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "empty"},
		{"no header", "named," + id + ",7,external_id,bind,\n", "no column class"},
		{"half a header", "class,identity_id\n", "no column user_id"},
		{"a class", head + "married," + id + ",7,external_id,bind,\n", "line 1"},
		{"a step", head + "named," + id + ",7,external_id,delete,\n", `"delete"`},
		{"no identity", head + "named,,7,external_id,bind,\n", "UUID"},
		{"the nil UUID", head + "named,00000000-0000-0000-0000-000000000000,7,external_id,bind,\n", "nil UUID"},
		{"no user", head + "named," + id + ",,external_id,bind,\n", "user_id"},
		{"no proof", head + "named," + id + ",7,,bind,\n", "not a proof"},
		{"an unknown proof", head + "named," + id + ",7,because,bind,\n", "because"},
		{"an invalid column", head + "named," + id + ",7,column:a b,bind,\n", "a b"},
		{"an identity twice", head + "named," + id + ",7,external_id,bind,\nnamed," + id + ",8,external_id,bind,\n", "twice"},
		{"a user twice", head + "named," + id + ",7,external_id,bind,\nnamed," + string(identityID(2)) + ",7,external_id,bind,\n", "twice"},
		{"cells missing", head + "named," + id + "\n", "wrong number of fields"},
		{"a long line", head + "named," + strings.Repeat("x", 70_000) + "\n", "longer than"},
		{"JSON with more", `{"class":"named","identity_id":"` + id + `","user_id":"7","by":"external_id","do":"bind","sql":"drop"}`, "unknown field"},
		{"JSON that is cut off", `{"class":"named","identity_id":"` + id, "line 1"},
	} {
		if _, err := adopt.Read(strings.NewReader(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// Changes that a spreadsheet makes to the file do not change the plan.
	text := "\xef\xbb\xbfdo,by,class,user_id,identity_id\r\nbind,external_id,named,7," + strings.ToUpper(id) + "\r\n,,alone,8,\r\n"
	got, err := adopt.Read(strings.NewReader(text))
	want := []adopt.Line{{Class: adopt.Named, Identity: identityID(1), User: "7", By: symbolon.ByExternalID, Do: adopt.Bind}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

// TestRunOf checks that a run's name depends only on its lines, not on the file format.
func TestRunOf(t *testing.T) {
	one := adopt.Line{Class: adopt.Named, Identity: identityID(1), User: "7", By: symbolon.ByExternalID, Do: adopt.Bind, Why: "x"}
	same := one
	same.Why, same.Class = "", adopt.Voucher
	other := one
	other.User = "8"
	alone := adopt.Line{Class: adopt.Alone, User: "9"}
	run := adopt.RunOf([]adopt.Line{one})
	if adopt.RunOf([]adopt.Line{alone, same}) != run || adopt.RunOf([]adopt.Line{other}) == run || len(run) != 12 {
		t.Error(run)
	}
}

// FuzzRead checks that a file is a plan or an error, and that an encoded plan is read
// again.
func FuzzRead(f *testing.F) {
	line := adopt.Line{Class: adopt.Named, Identity: identityID(1), User: "-7", By: "column:legacy", Do: adopt.Bind, Why: "=x"}
	f.Add(written(f, adopt.CSV, line, adopt.Line{Class: adopt.Alone, User: "8"}))
	f.Add(written(f, adopt.JSON, line, adopt.Line{Class: adopt.Alone, User: "8"}))
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := adopt.Read(strings.NewReader(text))
		if err != nil || len(lines) == 0 {
			return
		}
		for _, l := range lines {
			if strings.ContainsRune(string(l.User), '\r') || strings.ToValidUTF8(string(l.User), "") != string(l.User) {
				return // CSV and JSON change such bytes, which no real line has
			}
		}
		for _, format := range []adopt.Format{adopt.CSV, adopt.JSON} {
			again, err := adopt.Read(strings.NewReader(written(t, format, lines...)))
			if err != nil || !slices.Equal(again, lines) {
				t.Errorf("%s: %q and then %q, %v", format, lines, again, err)
			}
		}
	})
}
