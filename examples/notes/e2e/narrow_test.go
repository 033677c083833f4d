package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestNarrowAndDark opens every page on a narrow screen in dark mode: no element is too
// wide, and the colours are dark.
func TestNarrowAndDark(t *testing.T) {
	w, c := newWorld(t), newChromium(t)
	ada := c.person(t, w.url, look{width: 360, dark: true})
	fits := func(name string) {
		t.Helper()
		ada.picture("narrow_" + name)
		wide := evaluate[[]string](ada, `[...document.querySelectorAll("body *")].filter(e => e.checkVisibility() && !e.closest(".unseen, .skip")
			&& (e.getBoundingClientRect().right > innerWidth + 0.5 || e.getBoundingClientRect().left < -0.5)).map(e => e.outerHTML.slice(0, 120))`)
		if page := evaluate[int](ada, `document.documentElement.scrollWidth`); page > 360 || len(wide) > 0 {
			t.Errorf("%s is %d pixels wide; too wide: %s", name, page, strings.Join(wide, "\n"))
		}
		if shade := evaluate[int](ada, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((sum, n) => sum + +n, 0)`); shade > 3*64 {
			t.Errorf("%s is not dark: red, green and blue add up to %d", name, shade)
		}
	}
	long := strings.Repeat("unbreakable", 12)
	ada.open("/")
	fits("home")
	ada.open("/login")
	fits("login")
	address := "ada" + strings.Repeat(".of.london", 6) + "@" + strings.Repeat("example.", 4) + "org"
	ada.signUp(strings.Replace(address, "@", ".@", 1), long[:90], "short") // not a valid address; the message repeats it
	ada.at("/registration", 200, "is not valid")
	fits("registration_no_address")
	ada.fillIn(address, long[:90], "short")
	ada.at("/registration", 200, "at least 8 characters")
	fits("registration_short_password")
	ada.fill("password", password)
	ada.submit("password")
	ada.at("/notes", 200)
	fits("no_notes")
	ada.addNote(long)
	ada.addNote("Ask Charles about the engine.")
	ada.at("/notes", 200, long)
	fits("notes")
	ada.must(chromedp.Do(ada.ctx, chromedp.Click(chromedp.CSS("summary")), chromedp.WaitVisible(chromedp.CSS("details[open] button"))))
	fits("notes_delete")
	ada.click("Delete for good")
	ada.at("/notes", 200, long)
	ada.silent("Charles")
	ada.click("Profile")
	fits("settings")
	ada.click("Generate new backup recovery codes")
	fits("backup_codes")
	ada.fill("totp_code", totp(t, evaluate[string](ada, `document.querySelector("#totp code").innerText`), time.Now()))
	ada.submit("totp_code")
	ada.at("/settings", 200, "Your changes have been saved!")
	fits("settings_saved")
	ada.open("/nowhere")
	fits("nothing")
	w.kratos.Kill()
	ada.open("/settings")
	ada.at("/settings", 503)
	fits("outage")
}
