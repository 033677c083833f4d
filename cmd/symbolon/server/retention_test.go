package server

import (
	"testing"
	"time"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/config"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
)

// TestRetention checks that the task deletes what is older than the retention, and that 0
// switches it off.
func TestRetention(t *testing.T) {
	find := func(i *installation) (found []work.Task) {
		for _, task := range i.tasks() {
			if task.Name == "retention" {
				found = append(found, task)
			}
		}
		return found
	}
	i := install(t, func(c *config.Config) { c.Retention = 48 * time.Hour })
	for detail, age := range map[string]time.Duration{"old": 49 * time.Hour, "young": 47 * time.Hour} {
		if _, err := i.DB.Exec(`insert into symbolon_events (project, at, kind, detail) values ('default', ?, ?, ?)`,
			time.Now().Add(-age).UTC().Format("2006-01-02T15:04:05.000000Z"), string(symbolon.UserUpdated), detail); err != nil {
			t.Fatal(err)
		}
	}
	tasks := find(i)
	if len(tasks) != 1 {
		t.Fatalf("%d tasks", len(tasks))
	}
	if err := tasks[0].Do(t.Context(), work.Job{}); err != nil {
		t.Fatal(err)
	}
	var left string
	if err := i.DB.QueryRow(`select group_concat(detail) from symbolon_events`).Scan(&left); err != nil || left != "young" {
		t.Errorf("%q is left, %v", left, err)
	}
	if n := len(find(install(t, func(c *config.Config) { c.Retention = 0 }))); n != 0 {
		t.Errorf("with 0 there are %d tasks", n)
	}
}
