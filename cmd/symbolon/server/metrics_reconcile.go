package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/reconcile"
	"github.com/symbolon-id/symbolon/sqlstore"
)

// The results of a run.
const (
	runDone        = "done"
	runImplausible = "implausible"
	runIncomplete  = "incomplete"
	runBusy        = "busy"
	runFailed      = "failed"
)

// reconciled counts a run by its result.
func (m *metrics) reconciled(err error) {
	result := runFailed
	switch {
	case err == nil:
		result = runDone
		m.lastRun.SetToCurrentTime()
	case errors.Is(err, reconcile.ErrImplausible):
		result = runImplausible
	case errors.Is(err, reconcile.ErrIncomplete):
		result = runIncomplete
	case errors.Is(err, reconcile.ErrBusy):
		result = runBusy
	}
	m.runs.WithLabelValues(result).Inc()
}

// openFindings shows the number of open findings by kind. The database is asked at most
// every 15 seconds. While it does not answer, the metric is absent.
type openFindings struct {
	store   *sqlstore.Store
	project string
	ready   *atomic.Bool // the database is in use

	mu     sync.Mutex
	at     time.Time
	counts map[symbolon.FindingKind]int
}

var findingsOpen = prometheus.NewDesc("symbolon_findings_open", "Open findings, by kind.", []string{"kind"}, nil)

const (
	countEvery   = 15 * time.Second
	countTimeout = 2 * time.Second
)

// Describe implements prometheus.Collector.
func (o *openFindings) Describe(ch chan<- *prometheus.Desc) { ch <- findingsOpen }

// Collect implements prometheus.Collector.
func (o *openFindings) Collect(ch chan<- prometheus.Metric) {
	counts := o.count()
	if counts == nil {
		return
	}
	for _, kind := range reconcile.Kinds() { // a fixed set, so that no value of the table becomes a label
		ch <- prometheus.MustNewConstMetric(findingsOpen, prometheus.GaugeValue, float64(counts[kind]), string(kind))
	}
}

func (o *openFindings) count() map[symbolon.FindingKind]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ready.Load() || time.Since(o.at) < countEvery {
		return o.counts
	}
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	counts, err := o.store.CountFindings(ctx, o.project)
	if err != nil {
		counts = nil
	} else if start, err := o.store.FindStart(ctx, o.project); err == nil && !start.Settled() {
		counts[symbolon.NotAdopted] = 1
	}
	o.at, o.counts = time.Now(), counts
	return counts
}

// tableFaults shows the number of faults of the users table that the store has noticed.
type tableFaults struct{ store *sqlstore.Store }

var usersTableFaults = prometheus.NewDesc("symbolon_users_table_faults", "Faults of the users table that were noticed: columns that are left out, and refusals that concern everybody.", nil, nil)

// Describe implements prometheus.Collector.
func (t tableFaults) Describe(ch chan<- *prometheus.Desc) { ch <- usersTableFaults }

// Collect implements prometheus.Collector.
func (t tableFaults) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(usersTableFaults, prometheus.GaugeValue, float64(len(t.store.TableFaults())))
}
