package setup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
)

// asker gets answers: from flags, from a terminal, or from what is proposed.
type asker struct {
	in       *bufio.Reader
	out      io.Writer
	terminal bool
	yes      bool
	missing  []error
}

func newAsker(a *cli.App, yes bool) *asker {
	q := &asker{out: a.Err, yes: yes}
	if f, ok := a.In.(*os.File); ok && cli.IsTerminal(f) {
		q.in, q.terminal = bufio.NewReader(f), true
	}
	return q
}

// question is one thing that has to be known.
type question struct {
	flag     string // that answers it
	given    string // what the flag, or the environment, says
	text     string
	proposal string
	must     func(string) error // what is wrong with an answer; nil: anything is right
}

// get returns the answer. Without a terminal a question that nobody answered is noted,
// and goes on with what is proposed, so that all of them are reported at once.
func (q *asker) get(x question) (string, error) {
	switch {
	case x.given != "":
		return x.given, x.judge(x.given)
	case q.yes:
		return x.proposal, x.judge(x.proposal)
	case !q.terminal:
		q.note(x)
		return x.proposal, nil
	}
	for {
		_, _ = fmt.Fprintf(q.out, "%s%s: ", x.text, bracketed(x.proposal))
		line, err := q.in.ReadString('\n')
		answer := strings.TrimSpace(line)
		if err != nil && answer == "" {
			_, _ = fmt.Fprintln(q.out)
			return "", cli.Usage(fmt.Errorf("no answer: --%s answers it, --yes takes what is proposed", x.flag))
		}
		if answer == "" {
			answer = x.proposal
		}
		if answer != "" && x.must == nil {
			return answer, nil
		}
		if answer != "" {
			if err = x.must(answer); err == nil {
				return answer, nil
			}
			_, _ = fmt.Fprintf(q.out, "  %s\n", err)
		}
	}
}

func bracketed(proposal string) string {
	if proposal == "" {
		return ""
	}
	return " [" + cli.Plain(proposal) + "]"
}

func (x question) judge(answer string) error {
	if answer == "" {
		return cli.Usage(fmt.Errorf("an answer is needed: --%s", x.flag))
	}
	if x.must == nil {
		return nil
	}
	if err := x.must(answer); err != nil {
		return cli.Usage(fmt.Errorf("--%s: %w", x.flag, err))
	}
	return nil
}

func (q *asker) note(x question) {
	example := x.proposal
	if example == "" {
		example = "…"
	}
	q.missing = append(q.missing, fmt.Errorf("%s? --%s %s", x.text, x.flag, cli.Plain(example)))
}

// unanswered reports every question that no flag answered.
func (q *asker) unanswered() error {
	if len(q.missing) == 0 {
		return nil
	}
	return cli.Usage(cli.Hint(errors.Join(q.missing...), "there is no terminal to ask at: give the flags, or --yes to take what is proposed; nothing was written"))
}

// oneOf refuses other words.
func oneOf[T ~string](words ...T) func(string) error {
	return func(answer string) error {
		var all []string
		for _, w := range words {
			if answer == string(w) {
				return nil
			}
			all = append(all, string(w))
		}
		return fmt.Errorf("it must be one of %s", strings.Join(all, ", "))
	}
}

// none is the answer that leaves something out.
const none = "none"
