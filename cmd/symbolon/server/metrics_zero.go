package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/createurl"
	"github.com/symbolon-id/symbolon/hooks"
)

// hookOutcomes are the outcomes of each hook.
var hookOutcomes = map[string][]string{
	"reserve": {hooks.Reserved, hooks.Passed, hooks.Unreadable, hooks.Refused},
	"link":    {hooks.Done, hooks.Denied, hooks.Gone, hooks.Queued, hooks.Refused, hooks.Undetermined},
	"sync":    {hooks.Done, hooks.Denied, hooks.Gone, hooks.Queued, hooks.Ignored, hooks.Refused, hooks.Undetermined},
}

var sources = []symbolon.Source{symbolon.FromRequest, symbolon.FromLinkHook, symbolon.FromSyncHook, symbolon.FromOperator, symbolon.FromReconcile, symbolon.FromAdopt}

// startAtZero makes the series of the counters whose labels have known values. Otherwise a
// series would begin at 1 with its first event, and increase() of Prometheus would miss it.
func (m *metrics) startAtZero(tasks []work.Task, createURL bool) {
	for hook, outcomes := range hookOutcomes {
		zero(m.hooks.MustCurryWith(prometheus.Labels{"hook": hook}), outcomes)
	}
	for _, t := range tasks {
		zero(m.jobs.MustCurryWith(prometheus.Labels{"task": t.Name}), t.Outcomes())
	}
	zero(m.links, sources)
	zero(m.runs, []string{runDone, runImplausible, runIncomplete, runBusy, runFailed})
	if createURL {
		zero(m.creates, []string{createurl.Created, createurl.Existed, createurl.Refused, createurl.Limited, createurl.Failed})
	}
}

// zero makes the series of the values of the last label.
func zero[T ~string](counter *prometheus.CounterVec, values []T) {
	for _, v := range values {
		counter.WithLabelValues(string(v))
	}
}
