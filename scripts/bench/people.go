package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/symbolon-id/symbolon/symbolontest"
)

// batch is how many identities one import carries; Kratos v1.3.1 takes 2,000.
const batch = 1000

// startKratos starts a real Kratos on SQLite and fills it up to n identities. In a
// folder that is kept they are imported once.
func startKratos(ctx context.Context, dir string, n int) (*symbolontest.Kratos, error) {
	kratos, err := symbolontest.LaunchKratos(ctx, symbolontest.KratosConfig{Dir: dir, Overlay: []byte("log:\n  level: error\n")})
	if err != nil {
		return nil, err
	}
	have, err := countPeople(ctx, kratos)
	for began := time.Now(); err == nil && have < n; have += batch {
		if err = importPeople(ctx, kratos, have, min(batch, n-have)); err == nil && have%(10*batch) == 0 {
			fmt.Fprintf(os.Stderr, "bench: %d of %d identities imported, %v\n", have+batch, n, time.Since(began).Round(time.Second))
		}
	}
	if err != nil {
		kratos.Close()
		return nil, err
	}
	return kratos, nil
}

// countPeople asks by offset, which is the one listing of Kratos that counts.
func countPeople(ctx context.Context, kratos *symbolontest.Kratos) (n int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, kratos.AdminURL+"/admin/identities?page=1&per_page=1", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = fmt.Sscan(resp.Header.Get("X-Total-Count"), &n)
	return n, err
}

// importPeople makes identities as people have them: an e-mail address, a name, and
// the ID of some user in the metadata of each second one.
func importPeople(ctx context.Context, kratos *symbolontest.Kratos, from, n int) error {
	items := make([]any, n)
	for i := range items {
		items[i] = map[string]any{"create": map[string]any{"schema_id": "default", "traits": map[string]any{
			"email": fmt.Sprintf("person-%06d@example.org", from+i), "name": fmt.Sprintf("Person Number %d", from+i)}}}
	}
	body, err := json.Marshal(map[string]any{"identities": items})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, kratos.AdminURL+"/admin/identities", bytes.NewReader(body))
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
		return fmt.Errorf("import: %s: %s", resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
