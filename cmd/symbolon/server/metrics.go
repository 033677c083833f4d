package server

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/cmd/symbolon/work"
	"github.com/symbolon-id/symbolon/createurl"
	"github.com/symbolon-id/symbolon/hooks"
)

// metrics are the content of GET /metrics. Every label comes from a small fixed set. An
// ID, a path or a method from a request is never a label.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	hooks    *prometheus.CounterVec
	links    *prometheus.CounterVec
	creates  *prometheus.CounterVec
	runs     *prometheus.CounterVec
	lastRun  prometheus.Gauge
	jobs     *prometheus.CounterVec
	waiting  *prometheus.GaugeVec
}

func newMetrics() *metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metric := promauto.With(registry)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return metric.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_" + name, Help: help}, labels)
	}
	b := cli.ThisBuild()
	metric.NewGauge(prometheus.GaugeOpts{Name: "symbolon_build_info", Help: "Always 1. The labels describe the build.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion}}).Set(1)
	return &metrics{
		registry: registry,
		requests: counter("http_requests_total", "Requests answered, by listener, route and status.", "listener", "route", "status"),
		hooks:    counter("hooks_total", "Ory's hooks answered, by hook and outcome.", "hook", "outcome"),
		links:    counter("links_made_total", "Links made, by the source: how Symbolon came to know the identity.", "source"),
		creates:  counter("create_url_total", "Requests to users.create_url, by outcome.", "outcome"),
		runs:     counter("reconcile_runs_total", "Reconcile runs that ended, by result: done, implausible, incomplete, busy, failed.", "result"),
		jobs:     counter("work_total", "Background jobs, by task and outcome.", "task", "outcome"),
		seconds: metric.NewHistogramVec(prometheus.HistogramOpts{Name: "symbolon_http_request_duration_seconds",
			Help:    "Time from the request's header to the end of its handler.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"listener", "route"}),
		waiting: metric.NewGaugeVec(prometheus.GaugeOpts{Name: "symbolon_waiting_for_database",
			Help: "1 while the server runs but has not used its database yet, by reason: outage, unresolved, fault."}, []string{"reason"}),
		lastRun: metric.NewGauge(prometheus.GaugeOpts{Name: "symbolon_reconcile_last_done_timestamp_seconds",
			Help: "Time at which the last complete reconcile run ended."}),
	}
}

// route returns the function that counts the answers of a route. Unknown paths share the
// route "none".
func (m *metrics) route(listener, pattern string) func(status int, took time.Duration) {
	pattern = cmp.Or(pattern, "none")
	requests := m.requests.MustCurryWith(prometheus.Labels{"listener": listener, "route": pattern})
	seconds := m.seconds.WithLabelValues(listener, pattern)
	ok := requests.WithLabelValues("200") // looked up once, because most answers are 200
	return func(status int, took time.Duration) {
		if status == 0 || status == http.StatusOK { // 0: the handler wrote nothing
			ok.Inc()
		} else {
			requests.WithLabelValues(strconv.Itoa(status)).Inc()
		}
		seconds.Observe(took.Seconds())
	}
}

// The reasons why the database is not in use yet.
const (
	reasonOutage = "outage"     // it does not answer
	reasonName   = "unresolved" // its host name does not exist
	reasonFault  = "fault"      // it answers with a fault that the operator has to repair
)

// startup shows why the database is not in use yet; "" if it is.
func (m *metrics) startup(reason string) {
	for _, r := range []string{reasonOutage, reasonName, reasonFault} {
		m.waiting.WithLabelValues(r).Set(one(r == reason))
	}
}

// hook is for hooks.Handler.Observe.
func (m *metrics) hook(hook, outcome string) { m.hooks.WithLabelValues(hook, outcome).Inc() }

// work is for work.Config.Observe.
func (m *metrics) work(task, outcome string) { m.jobs.WithLabelValues(task, outcome).Inc() }

// linked is for link.Linker.AfterLink.
func (m *metrics) linked(_ context.Context, link symbolon.Link) {
	m.links.WithLabelValues(string(link.Source)).Inc()
}

// creation is for createurl.Client.Observe.
func (m *metrics) creation(outcome string) { m.creates.WithLabelValues(outcome).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// hookOutcomes are the outcomes of each hook.
var hookOutcomes = map[string][]string{
	"reserve": {hooks.Reserved, hooks.Passed, hooks.Undrawn, hooks.Invited, hooks.Uninvited, hooks.Unreadable, hooks.Refused},
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
	m.startup("")
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
