package doctor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/symbolon-id/symbolon/doctor"
	"github.com/symbolon-id/symbolon/hooks"
	"github.com/symbolon-id/symbolon/ory"
	"github.com/symbolon-id/symbolon/symbolontest/fakeory"
)

// TestCreateURL has each fault of an application that makes its own users.
func TestCreateURL(t *testing.T) {
	kratos := fakeory.Start(t, fakeory.Config{})
	for _, test := range []struct {
		status int
		err    error
		want   doctor.Verdict
	}{
		{401, nil, doctor.OK}, {400, nil, doctor.OK}, {403, nil, doctor.OK}, {422, nil, doctor.OK},
		{200, nil, doctor.Problem}, {201, nil, doctor.Problem}, {204, nil, doctor.Problem}, {409, nil, doctor.Problem},
		{301, nil, doctor.Problem}, {307, nil, doctor.Problem},
		{404, nil, doctor.Problem}, {405, nil, doctor.Problem}, {410, nil, doctor.Problem},
		{429, nil, doctor.Unknown}, {408, nil, doctor.Unknown}, {500, nil, doctor.Unknown}, {503, nil, doctor.Unknown},
		{0, errors.New("no connection"), doctor.Problem},
	} {
		d := &doctor.Doctor{Ory: &ory.Client{PublicURL: kratos.PublicURL, AdminURL: kratos.AdminURL}, Actions: hooks.Actions{URL: "http://127.0.0.1:1"},
			Database: errors.New("not asked"), Unsigned: func(context.Context) (int, error) { return test.status, test.err }}
		var got doctor.Result
		d.Examine(t.Context(), func(r doctor.Result) {
			if r.Check == "users.create_url" {
				got = r
			}
		})
		d.Ory.CloseIdleConnections()
		if got.Verdict != test.want || got.Is == "" || test.want == doctor.Problem && (got.Breaks == "" || got.Fix == "") {
			t.Errorf("%d %v: %+v", test.status, test.err, got)
		}
	}
}
