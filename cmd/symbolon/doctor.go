package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/system"
	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/internal/strictjson"
	"github.com/symbolon-id/symbolon/mint"
)

type doctorCmd struct {
	KratosConfig   []string `placeholder:"FILE" sep:"none" help:"The kratos.yml that Kratos runs with. May be repeated, like Kratos' own -c and in the same order."`
	Live           bool     `help:"Sign up a test person at Ory, check that the hooks arrive, and delete the person again."`
	Prove          bool     `help:"Insert a row into the users table and roll it back. It takes a number from a sequence and runs the table's triggers."`
	Traits         string   `placeholder:"JSON" help:"The traits of the test person of --live or --prove, with RANDOM in values that must be unique. Default: an e-mail address."`
	WithoutReserve bool     `help:"The reserve hook is left out on purpose."`
	Sessions       int      `placeholder:"N" help:"The number of sessions in use at the same time. Default: the number of active sessions at Ory."`
	Days           int      `default:"7" help:"Report a problem if people sign up, but no link hook came for this many days."`
	JSON           bool     `name:"json" help:"Print one JSON object per line: every check, then the summary."`
}

func (doctorCmd) Help() string {
	return `Checks the setup: Ory's two APIs, the users table, the hooks. For each problem it prints what is wrong, what breaks, and what fixes it. Without --live and --prove nothing is written anywhere. docs/doctor.md explains every check.

	symbolon doctor
	symbolon doctor --kratos-config kratos.yml --kratos-config hooks.yml
	symbolon doctor --live --traits '{"email":"RANDOM@doctor.invalid","name":"Doctor"}'

Exit codes: 0 no problem, 3 there are problems, 1 a check could not be completed, 2 wrong usage or configuration.`
}

// Run examines and reports.
func (c doctorCmd) Run(a *cli.App) error {
	conf, err := system.Configure(a)
	if err != nil {
		return err
	}
	d := &doctor.Doctor{Ory: system.NewClient(conf), Actions: system.Actions(conf), Project: conf.Ory.Project, MaxStale: conf.Auth.MaxStale,
		OnIdentityDeleted: conf.Users.OnIdentityDeleted, ReleaseColumns: conf.Users.ReleaseColumns,
		Sessions: c.Sessions, Silence: time.Duration(c.Days) * 24 * time.Hour}
	d.Actions.WithoutReserve = c.WithoutReserve
	if tokens := conf.Auth.JWT.Tokens(); tokens != nil {
		d.TokenKeys = tokens.ReadKeys
	}
	if d.Kratos, err = c.kratos(); err != nil {
		return cli.Usage(err)
	}
	if err := c.traits(); err != nil {
		return cli.Usage(err)
	}
	if err := c.live(a, conf, d); err != nil {
		return cli.Usage(err)
	}
	if creator := system.NewCreator(conf); creator != nil {
		defer creator.Close()
		d.Unsigned = creator.Unsigned
	}
	s, err := system.Connect(a.Ctx, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		d.Database = err
	} else {
		defer s.Close()
		table := system.UsersTable{System: s}
		d.Table, d.Ledger = table, s.Store
		if c.Prove && conf.Users.CreateURL == "" {
			traits := cmp.Or(c.Traits, `{"email":"`+doctor.Placeholder+`@doctor.invalid"}`)
			traits = strings.ReplaceAll(traits, doctor.Placeholder, strings.ToLower(rand.Text()))
			d.Prove = func(ctx context.Context) (doctor.Proof, error) { return table.Prove(ctx, json.RawMessage(traits)) }
		}
		if draws, err := s.Store.Draws(a.Ctx); d.Actions.Draws && err == nil && !draws {
			d.Actions.WithoutReserve = !d.Actions.Invites // the hook answers without an ID
		}
	}
	p := &doctorPrinter{out: a.Out, json: c.JSON, count: map[doctor.Verdict]int{}}
	p.end(d.Examine(a.Ctx, p.show))
	d.Ory.CloseIdleConnections()
	switch {
	case p.err != nil:
		return p.err
	case p.count[doctor.Problem] > 0:
		return &foundError{p.count[doctor.Problem]}
	case p.count[doctor.Unknown] > 0:
		return errors.New("no problem was found, but some checks could not be completed")
	}
	return nil
}

func (c doctorCmd) kratos() (*hooks.KratosFile, error) {
	if len(c.KratosConfig) == 0 {
		return nil, nil
	}
	var docs [][]byte
	for _, path := range c.KratosConfig {
		doc, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the Kratos configuration: %w", err)
		}
		docs = append(docs, doc)
	}
	return hooks.ReadKratos(docs...)
}

func (c doctorCmd) live(a *cli.App, conf *config.Config, d *doctor.Doctor) error {
	if !c.Live {
		return nil
	}
	if err := system.NeedsAdmin(d.Ory, "--live deletes the test person again, which needs Ory's admin API"); err != nil {
		return err
	}
	if conf.Users.CreateURL != "" {
		return cli.Hint(errors.New("with --live the application would make a user that Symbolon cannot delete (users.create_url)"),
			"sign up a test person by hand, and delete both halves")
	}
	minter := mint.NewMinter(conf.Ory.Project, conf.Secrets()...)
	d.Live = &doctor.Live{Traits: json.RawMessage(c.Traits), Minted: minter.Minted, Reserved: minter.Reserved, Told: func(word string) {
		_, _ = fmt.Fprintf(a.Err, "symbolon: signing up a test person, %s; the person is always deleted again\n", word)
	}}
	return nil
}

// traits checks the flag.
func (c doctorCmd) traits() error {
	if c.Traits == "" {
		return nil
	}
	if !c.Live && !c.Prove {
		return errors.New("--traits has no effect without --live or --prove")
	}
	if _, err := strictjson.Object([]byte(c.Traits)); err != nil {
		return fmt.Errorf("--traits must be a JSON object: %w", err)
	}
	if !strings.Contains(c.Traits, doctor.Placeholder) {
		return cli.Hint(errors.New("--traits must contain RANDOM"), `put it in the values that must be unique: {"email":"RANDOM@doctor.invalid"}`)
	}
	return nil
}

// foundError says that the doctor found problems.
type foundError struct{ n int }

func (e *foundError) Error() string {
	if e.n == 1 {
		return "there is a problem"
	}
	return fmt.Sprintf("there are %d problems", e.n)
}

func (e *foundError) Unwrap() error { return cli.Left(e.n, "problem") }

// doctorPrinter prints results as they come, a group at a time.
type doctorPrinter struct {
	out   io.Writer
	json  bool
	group []doctor.Result
	count map[doctor.Verdict]int
	err   error
}

func (p *doctorPrinter) show(r doctor.Result) {
	p.count[r.Verdict]++
	if p.json {
		p.err = errors.Join(p.err, json.NewEncoder(p.out).Encode(r))
		return
	}
	if len(p.group) > 0 && groupOf(p.group[0]) != groupOf(r) {
		p.flush()
	}
	p.group = append(p.group, r)
}

func groupOf(r doctor.Result) string {
	name, _, _ := strings.Cut(r.Check, ".")
	return name
}

// end prints the last group and the summary.
func (p *doctorPrinter) end(all []doctor.Result) {
	if p.json {
		summary := map[string]int{"checks": len(all), "ok": p.count[doctor.OK], "problems": p.count[doctor.Problem],
			"unknown": p.count[doctor.Unknown], "skipped": p.count[doctor.Skipped]}
		p.err = errors.Join(p.err, json.NewEncoder(p.out).Encode(map[string]any{"summary": summary}))
		return
	}
	p.flush()
	p.printf("%d checks: %d ok, %s, %d unknown, %d skipped\n", len(all),
		p.count[doctor.OK], cli.Count(p.count[doctor.Problem], "problem"), p.count[doctor.Unknown], p.count[doctor.Skipped])
}

var verdictWords = map[doctor.Verdict]string{doctor.OK: "ok", doctor.Problem: "PROBLEM", doctor.Unknown: "unknown", doctor.Skipped: "skipped"}

var fixWords = map[doctor.Verdict]string{doctor.Problem: "fix:", doctor.Unknown: "to find out:"}

// flush prints a group. Consecutive checks that were not completed for the same reason share
// a line.
func (p *doctorPrinter) flush() {
	if len(p.group) == 0 {
		return
	}
	p.printf("%s\n", map[string]string{"ory": "Ory", "users": "Users table", "hooks": "Hooks", "live": "Sign-up of a test person"}[groupOf(p.group[0])])
	for i := 0; i < len(p.group); i++ {
		r, n := p.group[i], 1
		for ; i+1 < len(p.group) && alike(r, p.group[i+1]); i++ {
			n++
		}
		_, name, _ := strings.Cut(r.Check, ".")
		if n > 1 {
			name = fmt.Sprintf("%d checks", n)
		}
		p.printf("  %-8s %-15s %s\n", verdictWords[r.Verdict], name, wrapped(r.Is, 27))
		if r.Breaks != "" {
			p.printf("           breaks:         %s\n", wrapped(r.Breaks, 27))
		}
		if r.Fix != "" {
			p.printf("           %-15s %s\n", fixWords[r.Verdict], wrapped(r.Fix, 27))
		}
	}
	p.printf("\n")
	p.group = nil
}

// alike reports whether two checks were not completed for the same reason.
func alike(a, b doctor.Result) bool {
	return (a.Verdict == doctor.Skipped || a.Verdict == doctor.Unknown) && a.Verdict == b.Verdict && a.Is == b.Is && a.Fix == b.Fix
}

func (p *doctorPrinter) printf(format string, args ...any) {
	_, err := fmt.Fprintf(p.out, format, args...)
	p.err = errors.Join(p.err, err)
}

// wrapped breaks a text into lines of about 110 columns with an indent. The text may contain
// words of strangers.
func wrapped(text string, indent int) string {
	const width = 84
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(cli.Plain(text)) {
		n := len([]rune(word))
		if column > 0 && column+1+n > width {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = 0
		}
		if column > 0 {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
