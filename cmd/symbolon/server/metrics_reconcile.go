package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/reconcile"
)

// reconciled counts a run by its result.
func (m *metrics) reconciled(err error) {
	result := "failed"
	switch {
	case err == nil:
		result = "done"
		m.lastRun.SetToCurrentTime()
	case errors.Is(err, reconcile.ErrImplausible):
		result = "implausible"
	case errors.Is(err, reconcile.ErrIncomplete):
		result = "incomplete"
	case errors.Is(err, reconcile.ErrBusy):
		result = "busy"
	}
	m.runs.WithLabelValues(result).Inc()
}

// counter counts open findings. *sqlstore.Store is one.
type counter interface {
	CountFindings(ctx context.Context, project string) (map[symbolon.FindingKind]int, error)
}

// countFindings shows the number of open findings by kind. The database is asked at most
// every 15 seconds. While it does not answer, the metric is absent.
func (m *metrics) countFindings(c counter, project string) {
	m.registry.MustRegister(&openFindings{counter: c, project: project,
		desc: prometheus.NewDesc("symbolon_findings_open", "Open findings, by kind.", []string{"kind"}, nil)})
}

type openFindings struct {
	counter counter
	project string
	desc    *prometheus.Desc

	mu     sync.Mutex
	at     time.Time
	counts map[symbolon.FindingKind]int
}

const countEvery = 15 * time.Second

// Describe is prometheus.Collector's.
func (o *openFindings) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }

// Collect is prometheus.Collector's.
func (o *openFindings) Collect(ch chan<- prometheus.Metric) {
	counts := o.count()
	if counts == nil {
		return
	}
	for _, kind := range reconcile.Kinds() { // a fixed set, so that no value of the table becomes a label
		ch <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, float64(counts[kind]), string(kind))
	}
}

func (o *openFindings) count() map[symbolon.FindingKind]int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.at) < countEvery {
		return o.counts
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	counts, err := o.counter.CountFindings(ctx, o.project)
	if err != nil {
		counts = nil
	}
	o.at, o.counts = time.Now(), counts
	return counts
}
