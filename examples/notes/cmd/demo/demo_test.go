package main

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest"
)

func TestMain(m *testing.M) { symbolontest.Main(m) }

// said is the output of the demo so far.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// inTemp gives the demo a folder for its data, which must be empty at the end.
func inTemp(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("the demo left %v", left)
		}
	})
}

func TestOnce(t *testing.T) {
	inTemp(t)
	out := &said{}
	if err := run(t.Context(), []string{"-once"}, out); err != nil {
		t.Fatalf("%v\nafter:\n%s", err, out)
	}
	for _, want := range []string{"Grace signs up", "lost", "Ada was linked by ", "Grace by ", "All 7 steps passed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out.String()) {
		if len([]rune(line)) > 81 {
			t.Errorf("longer than 80 characters: %q", line)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours where there is no terminal")
	}
}

// TestWatch signs a person up at the address that the demo prints, reads the demo's
// report of the link, and presses Ctrl-C.
func TestWatch(t *testing.T) {
	inTemp(t)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	out, ended := &said{}, make(chan error, 1)
	go func() { ended <- run(ctx, nil, out) }()
	says := func(form string) []string {
		t.Helper()
		for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if found := regexp.MustCompile(form).FindStringSubmatch(out.String()); found != nil {
				return found
			}
			select {
			case err := <-ended:
				t.Fatalf("the demo ended: %v\n%s", err, out)
			default:
			}
		}
		t.Fatalf("the output never had %s:\n%s", form, out)
		return nil
	}
	address := says(`Open (http://\S+) and try`)[1]
	b := newBrowser()
	form, err := b.get(ctx, address+"/registration")
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.submit(ctx, form, "http", url.Values{"traits.email": {"ada@example.org"}, "traits.name.first": {"Ada"}, "password": {password}})
	if err != nil || p.url.Path != "/notes" {
		t.Fatalf("%v\n%+v", err, p)
	}
	minted := says(`reserve hook.*\n +answer +(\S{36})`)[1]
	says(`link hook.*\n +answer +(?:done|queued)\n`)
	says(`\n +people +` + minted + ` +id\n.*\n +ada@example.org`)
	says(`Ory +.*\n +` + minted + ` +metadata_public.id`)
	if !p.shows(minted) {
		t.Errorf("the page does not show %s:\n%s", minted, p.words())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	t.Log(out)
}

// TestJourneyNoticesFaults checks that the demo fails if a step did not happen as it
// says.
func TestJourneyNoticesFaults(t *testing.T) {
	inTemp(t)
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	out := &said{}
	d, err := start(ctx, newTerminal(out), options{once: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	ada := func() *traveller { return &traveller{browser: newBrowser(), name: "Ada", email: "ada@example.org"} }
	d.tap.losing("link")
	if err := d.journey(ctx); err == nil || !strings.Contains(err.Error(), "step 2, Her user is made before her first request: the link hook was lost") {
		t.Errorf("a lost hook: %v", err)
	}
	if err := d.signUp(ctx, ada()); err == nil || !strings.Contains(err.Error(), "does not lead to /notes") || !strings.Contains(err.Error(), "There is an account with this email already") {
		t.Errorf("a person who signed up before: %v", err)
	}
}

// TestStopsWhileStarting presses Ctrl-C during the builds and starts.
func TestStopsWhileStarting(t *testing.T) {
	inTemp(t)
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	out := &said{}
	if err := run(ctx, nil, out); err != nil || !strings.Contains(out.String(), "All data of the demo is removed") {
		t.Errorf("%v\n%s", err, out)
	}
}
