package symbolontest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// KratosError is an unexpected answer of Kratos, for example for a refused form or a
// missing identity.
type KratosError struct {
	Status int
	Body   []byte
}

// Error returns the status and the start of the body.
func (e *KratosError) Error() string {
	return fmt.Sprintf("Ory Kratos answered %d: %.2000s", e.Status, e.Body)
}

// answer is a response of Kratos. It is zero if there was no response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// expect returns err if it is not nil. If the status is not want, it returns a *KratosError.
// Otherwise it decodes the body into out, unless out is nil.
func (a answer) expect(err error, want int, out any) error {
	if err != nil {
		return err
	}
	if a.status != want {
		return &KratosError{Status: a.status, Body: a.body}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("read Ory Kratos' answer: %w", err)
	}
	return nil
}

func (a answer) cookies() []*http.Cookie {
	return (&http.Response{Header: a.header}).Cookies()
}

// do sends in as JSON and reads the whole answer. If in is nil, it sends no body.
func (k *Kratos) do(ctx context.Context, method, url string, in any, header http.Header) (answer, error) {
	request, err := newRequest(ctx, method, url, in)
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := k.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, url, err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: body}, nil
}

func newRequest(ctx context.Context, method, url string, in any) (*http.Request, error) {
	if in == nil {
		request, err := http.NewRequestWithContext(ctx, method, url, nil)
		if err == nil {
			request.Header.Set("Accept", "application/json")
		}
		return request, err
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err == nil {
		request.Header.Set("Accept", "application/json")
		request.Header.Set("Content-Type", "application/json")
	}
	return request, err
}
