package outbound

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestClient checks that the transport and timeout of a client are used, and its cookies
// and redirect policy are not.
func TestClient(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	own, given := &http.Transport{}, &http.Transport{}
	h := &http.Client{Transport: given, Timeout: time.Minute, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	c := Client(h, own)
	if c.Transport != given || c.Timeout != time.Minute || c.Jar != nil || c.CheckRedirect(nil, nil) != http.ErrUseLastResponse { //nolint:errorlint // net/http also compares it so
		t.Errorf("%+v", c)
	}
	if Client(nil, own).Transport != own || Client(&http.Client{}, own).Transport != own {
		t.Error("the client's own transport is not used")
	}
}

// TestWhyNoAnswer checks the text of each kind of failure, and that it has no URL.
func TestWhyNoAnswer(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			panic(http.ErrAbortHandler)
		}
		<-ended
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer func() { close(ended); server.Close() }()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "https://" + l.Addr().String() + "/"
	_ = l.Close()

	trusting := server.Client().Transport.(*http.Transport)
	late := trusting.Clone()
	late.TLSClientConfig.Time = func() time.Time { return time.Now().AddDate(1000, 0, 0) }
	misnamed := trusting.Clone()
	misnamed.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	for _, c := range []struct {
		name, url string
		transport *http.Transport
		want      string
	}{
		{"silent", server.URL, trusting, "no answer in time"},
		{"broken", server.URL + "/broken", trusting, "the connection broke"},
		{"unknown authority", server.URL, &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, "certificate"},
		{"expired", server.URL, late, "certificate"},
		{"another host", "https://other.invalid/", misnamed, "certificate"},
		{"closed port", closed, trusting, "no connection (connection refused)"},
		{"no such host", "https://nobody.invalid/", trusting, "its host name cannot be resolved"},
	} {
		patience := time.Minute
		if c.name == "silent" {
			patience = 100 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := Client(&http.Client{Transport: c.transport}, nil).Do(req)
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: the server answered", c.name)
		} else if got := WhyNoAnswer(err); !strings.Contains(got, c.want) || strings.Contains(got, "://") {
			t.Errorf("%s: %q, want %q (%v)", c.name, got, c.want, err)
		}
		cancel()
	}
}

// TestParseURL checks that a URL without a scheme or a host, or with several meanings, is
// refused, and that no error has the URL.
func TestParseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"": "not set", "http://secret:\x00": "not a URL", "ftp://secret.example": "http", "secret.example": "http", "http:///secret": "no host", "http:secret": "no host",
		"http://2130706433": "number", "http://0x7f.1": "number", "http://127.1": "number", "http://127.0.0.1.": "number",
		"http://127.0.0.1:4433": "", "https://[::1]/a": "", "https://a.example": "", "https://1.example": "",
	} {
		u, err := ParseURL(raw)
		if want == "" {
			if parsed, _ := url.Parse(raw); err != nil || *u != *parsed {
				t.Errorf("%q: %v", raw, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", raw, err, want)
		}
	}
}
