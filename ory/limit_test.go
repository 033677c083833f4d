package ory

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestLimitOf reads the headers of the rate limit in the two forms.
func TestLimitOf(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		header []string // limit, remaining, reset
		want   Limit
	}{
		{"none", 200, []string{"", "", ""}, Limit{Remaining: -1}},
		{"plain", 200, []string{"1400", "800", "31"}, Limit{PerMinute: 1400, Remaining: 800, Reset: 31 * time.Second}},
		{"plain and empty", 200, []string{"1400", "0", "31"}, Limit{PerMinute: 1400, Reset: 31 * time.Second, Pause: 31 * time.Second}},
		{"plain, perhaps of a second", 200, []string{"57", "56", "1"}, Limit{Remaining: -1}},
		{"plain without a window", 200, []string{"1400", "", ""}, Limit{PerMinute: 1400, Remaining: -1}},
		{"remaining alone", 200, []string{"", "8", "20"}, Limit{Remaining: -1}},
		{"plain 429", 429, []string{"57", "0", "1"}, Limit{Remaining: -1, Refused: true, Pause: time.Second}},
		{"of a second", 200, []string{"10, 10;w=1, 300;w=60", "8", "1"}, Limit{PerSecond: 10, PerMinute: 300, Remaining: -1}},
		{"of a minute", 200, []string{"300, 10;w=1, 300;w=60", "8", "20"}, Limit{PerSecond: 10, PerMinute: 300, Remaining: 8, Reset: 20 * time.Second}},
		{"with names", 200, []string{`300, 10;w=1;name="burst", 300;name="sustained";w=60`, "8", "20"}, Limit{PerSecond: 10, PerMinute: 300, Remaining: 8, Reset: 20 * time.Second}},
		{"another window", 200, []string{"5000, 5000;w=3600", "8", "20"}, Limit{Remaining: -1}},
		{"429 of a minute", 429, []string{"300, 10;w=1, 300;w=60", "0", "20"}, Limit{PerSecond: 10, PerMinute: 300, Reset: 20 * time.Second, Refused: true, Pause: 20 * time.Second}},
		{"429 of a second", 429, []string{"10, 10;w=1, 300;w=60", "0", "1"}, Limit{PerSecond: 10, PerMinute: 300, Remaining: -1, Refused: true, Pause: time.Second}},
		{"nonsense", 200, []string{"-5, x;w=60, 99999999999;w=1, 0;w=60", "8", "-1"}, Limit{Remaining: -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"Content-Type": {"application/json"}}
			for n, name := range []string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"} {
				if tt.header[n] != "" {
					h.Set(name, tt.header[n])
				}
			}
			c := &Client{PublicURL: "http://127.0.0.1:1", HTTP: &http.Client{Transport: roundTrip(func(*http.Request) *http.Response {
				return &http.Response{StatusCode: tt.status, Header: h, Body: io.NopCloser(strings.NewReader("{}"))}
			})}}
			got := Limit{PerMinute: 7}
			_, _ = c.Whoami(WithLimit(t.Context(), &got), Credential{SessionToken, "ory_st_x"})
			if got != tt.want {
				t.Errorf("%+v, wanted %+v", got, tt.want)
			}
			if n := c.pace.limit[publicHigh]; n != tt.want.PerMinute {
				t.Errorf("the background's limit is %d", n)
			}
			if tt.want.Pause == 0 {
				return
			}
			_, _ = c.Whoami(WithLimit(t.Context(), &got), Credential{SessionToken, "ory_st_x"})
			if got.Pause <= tt.want.Pause/2 || got.Pause > tt.want.Pause || got.Refused {
				t.Errorf("during the pause: %+v", got)
			}
		})
	}
}
