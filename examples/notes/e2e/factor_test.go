package e2e

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"
)

// totp returns the code of an authenticator app (RFC 6238: SHA-1, 30 seconds, six
// digits).
func totp(t *testing.T, secret string, at time.Time) string {
	t.Helper()
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(strings.ToUpper(secret), "="))
	if err != nil {
		t.Fatalf("the page shows the secret %q: %v", secret, err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, at.Unix()/30)
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 15
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1_000_000)
}

func TestTOTP(t *testing.T) {
	if got := totp(t, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", time.Unix(1111111109, 0)); got != "081804" { // six of the eight digits in the RFC
		t.Fatalf("got %s", got)
	}
}

// TestSecondFactor sets a second factor up on the profile page and uses it at the next
// login, once. A cached answer from before the upgrade must not keep the person out.
func TestSecondFactor(t *testing.T) {
	w, c := newWorld(t), newChromium(t)
	ada := c.person(t, w.url, look{})
	ada.signUp("ada@example.org", "Ada", password)
	ada.at("/notes", 200)
	user := w.people()[0]

	ada.click("Profile")
	ada.fill("totp_code", "000000")
	ada.submit("totp_code")
	ada.at("/settings", 200)
	if said := ada.beside("totp_code"); !strings.HasPrefix(said, "true: ") {
		t.Errorf("the message at a wrong code is %q", said)
	}
	ada.picture("settings_wrong_code")
	secret := evaluate[string](ada, `document.querySelector("#totp code").innerText`)
	ada.fill("totp_code", totp(t, secret, time.Now()))
	ada.submit("totp_code")
	ada.at("/settings", 200, "Your changes have been saved!")
	ada.open("/notes")
	ada.at("/notes", 200, user.ID) // no second login in between

	ada.click("Log out")
	ada.open("/login")
	ada.logIn("ada@example.org", password)
	ada.at("/login", 200, "One more step")
	half := ada.session()
	ada.picture("login_second_factor")
	for range 2 { // every time: the password alone is not enough
		ada.open("/notes")
		ada.at("/login", 200, "One more step")
	}
	ada.open("/")
	ada.at("/", 200)
	ada.open("/settings")
	ada.at("/login", 200, "One more step")
	ada.fill("totp_code", totp(t, secret, time.Now()))
	ada.submit("totp_code")
	ada.at("/settings", 200, "Your profile", user.ID)
	ada.open("/notes")
	ada.at("/notes", 200, user.ID)
	if id, _ := w.whoami(ada.session()); id.AAL != "aal2" {
		t.Errorf("the session is %+v", id)
	}
	t.Logf("the session cookie is the same after the second factor: %v", half == ada.session())
	w.matched(1)
}
