package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// batch is the number of identities in one import. Kratos v1.3.1 accepts 2,000.
const batch = 1000

// importPeople creates n typical identities by Ory's batch import.
func importPeople(ctx context.Context, admin string, n int, say func(done int)) error {
	for from := 0; from < n; from += batch {
		items := make([]any, min(batch, n-from))
		for i := range items {
			items[i] = map[string]any{"create": map[string]any{"schema_id": "default", "traits": map[string]any{
				"email": fmt.Sprintf("person-%06d@example.org", from+i), "name": fmt.Sprintf("Person Number %d", from+i)}}}
		}
		body, err := json.Marshal(map[string]any{"identities": items})
		if err != nil {
			return err
		}
		header := http.Header{"Content-Type": {"application/json"}}
		if _, err := send(ctx, http.MethodPatch, admin+"/admin/identities", header, body); err != nil {
			return fmt.Errorf("import: %w", err)
		}
		say(from + len(items))
	}
	return nil
}

// send sends a request, discards the body of the answer and returns its header. A status
// other than 200 is an error.
func send(ctx context.Context, method, url string, header http.Header, body []byte) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("%s: %s", resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.Header, err
}

// rawPages fetches all pages of the listing in order and discards them.
func rawPages(ctx context.Context, admin string) error {
	for next := "/admin/identities?page_size=500"; next != ""; {
		header, err := send(ctx, http.MethodGet, admin+next, http.Header{}, nil)
		if err != nil {
			return err
		}
		next = nextLink(strings.Join(header.Values("Link"), ","))
	}
	return nil
}

func nextLink(header string) string {
	for link := range strings.SplitSeq(header, ",") {
		target, rel, _ := strings.Cut(strings.TrimSpace(link), ">")
		if strings.Contains(rel, `rel="next"`) {
			return strings.TrimPrefix(target, "<")
		}
	}
	return ""
}
