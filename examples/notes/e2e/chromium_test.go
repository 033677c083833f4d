package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// patience is long, for a busy machine.
const patience = time.Minute

// chromium is a running browser for any number of people.
type chromium struct {
	t   *testing.T
	ctx context.Context
}

// newChromium starts the machine's Chromium. If it is missing, the test fails and is not skipped.
func newChromium(t *testing.T) *chromium {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findChromium(t)), chromedp.UserDataDir(profile(t)), chromedp.WSURLReadTimeout(patience),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1200, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	t.Cleanup(func() {
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := chromedp.Cancel(bounded); err != nil {
			t.Errorf("end Chromium: %v", err)
		}
	})
	return &chromium{t, ctx}
}

func findChromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("Chromium is not installed: no chromium, chromium-browser or google-chrome in PATH (Debian: apt-get install chromium)")
	return ""
}

// profile returns a folder for Chromium. Its children may still write into it after its end.
func profile(t *testing.T) string {
	dir, err := os.MkdirTemp("", "notes-chromium-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if os.RemoveAll(dir) == nil {
				return
			}
		}
		t.Errorf("%s is still in use", dir)
	})
	return dir
}

// tab is the window of one person, with its own cookies. A method that cannot do its work fails the test.
type tab struct {
	t      *testing.T
	ctx    context.Context
	base   string
	status int64 // HTTP status of the page
}

// look is the device of a person.
type look struct {
	noScripts bool
	dark      bool
	width     int64 // default 1200
}

func (c *chromium) person(t *testing.T, base string, l look) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, base: base}
	p.must(chromedp.Do(ctx))
	if l.width == 0 {
		l.width = 1200
	}
	p.must(chromedp.Do(ctx, chromedp.EmulateViewport(l.width, 800)))
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	p.must(err)
	_, err = chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.noScripts})
	p.must(err)
	return p
}

func (p *tab) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%v\non %s:\n%s", err, p.address(), p.text())
	}
}

func (p *tab) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.ctx, patience)
}

// do runs actions that load another page, and waits for it.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	res, err := chromedp.RunResponse(ctx, actions...)
	p.must(err)
	p.status = res.Status
}

func (p *tab) open(path string) { p.t.Helper(); p.do(chromedp.Navigate(p.base + path)) }

// click presses the button or link with this text.
func (p *tab) click(words string) {
	p.t.Helper()
	p.do(chromedp.Click(fmt.Sprintf(`//main//*[(self::a or self::button) and normalize-space()=%q] | //nav//*[(self::a or self::button) and normalize-space()=%q]`, words, words)))
}

// submit presses the main button of the field's form.
func (p *tab) submit(field string) {
	p.t.Helper()
	p.do(chromedp.Click(fmt.Sprintf(`//form[.//*[@name=%q]]//button[contains(@class, "button-primary")]`, field)))
}

// fill replaces the text of a field.
func (p *tab) fill(field, text string) {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	sel := named(field)
	p.must(chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(sel)), chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector('%s').value = ''", sel)),
		chromedp.SendKeys(chromedp.CSS(sel), text)))
}

func (p *tab) address() string {
	ctx, cancel := p.within()
	defer cancel()
	at, _ := chromedp.Run(ctx, chromedp.Location())
	return at
}

// text returns the visible text of the page.
func (p *tab) text() string {
	ctx, cancel := p.within()
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
	return text
}

// at checks the path and status of the page, and that it contains these texts.
func (p *tab) at(path string, status int64, texts ...string) {
	p.t.Helper()
	u, err := url.Parse(p.address())
	if err != nil || u.Scheme+"://"+u.Host != p.base || u.Path != path || p.status != status {
		p.t.Fatalf("%d at %s, want %d at %s; it says:\n%s", p.status, p.address(), status, path, p.text())
	}
	p.says(texts...)
}

func (p *tab) says(texts ...string) {
	p.t.Helper()
	page := p.text()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			p.t.Errorf("%s lacks %q; it says:\n%s", p.address(), text, page)
		}
	}
}

func (p *tab) silent(texts ...string) {
	p.t.Helper()
	page := p.text()
	for _, text := range texts {
		if strings.Contains(page, text) {
			p.t.Errorf("%s says %q:\n%s", p.address(), text, page)
		}
	}
}

// named returns the selector of a field.
func named(field string) string { return fmt.Sprintf("[name=%q]:not([type=hidden])", field) }

// value returns the text in a field.
func (p *tab) value(field string) string {
	p.t.Helper()
	return evaluate[string](p, fmt.Sprintf("document.querySelector('%s').value", named(field)))
}

// beside returns what a screen reader says about a field besides its label: whether it is invalid, and why.
func (p *tab) beside(field string) string {
	p.t.Helper()
	return evaluate[string](p, fmt.Sprintf(`(f => f.getAttribute("aria-invalid") + ": " + document.getElementById(f.getAttribute("aria-describedby"))?.innerText)(document.querySelector('%s'))`, named(field)))
}

func evaluate[T any](p *tab, script string) T {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	p.must(err)
	return v
}

// session returns the value of Ory's session cookie, or "".
func (p *tab) session() string {
	p.t.Helper()
	ctx, cancel := p.within()
	defer cancel()
	got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{p.base}})
	p.must(err)
	for _, c := range got.Cookies {
		if c.Name == "ory_kratos_session" {
			return c.Value
		}
	}
	return ""
}

// picture saves a screenshot in the folder NOTES_SCREENSHOTS. If it is not set, picture does nothing.
func (p *tab) picture(name string) {
	p.t.Helper()
	dir := os.Getenv("NOTES_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := p.within()
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	p.must(err)
	p.must(os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}
