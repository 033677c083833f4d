package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// batch is how many identities one import carries; Kratos v1.3.1 takes 2,000.
const batch = 1000

// importPeople makes n identities as people have them, by Ory's batch import.
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
		if err := sendImport(ctx, admin, body); err != nil {
			return fmt.Errorf("import: %w", err)
		}
		say(from + len(items))
	}
	return nil
}

func sendImport(ctx context.Context, admin string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, admin+"/admin/identities", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// rawPages fetches all pages of the listing, one after another, and throws them away.
func rawPages(ctx context.Context, admin string) (size int64, err error) {
	for next := "/admin/identities?page_size=500"; next != ""; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+next, nil)
		if err != nil {
			return size, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return size, err
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return size, err
		}
		size += n
		next = nextLink(strings.Join(resp.Header.Values("Link"), ","))
	}
	return size, nil
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
