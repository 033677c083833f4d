package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/symbolon-id/symbolon"
	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/session"
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
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_" + name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	m.requests = counter("http_requests_total", "Requests answered, by listener, route and status.", "listener", "route", "status")
	m.hooks = counter("hooks_total", "Ory's hooks answered, by hook and outcome.", "hook", "outcome")
	m.links = counter("links_made_total", "Links made, by the source of the identity.", "source")
	m.creates = counter("create_url_total", "Requests to users.create_url, by outcome.", "outcome")
	m.runs = counter("reconcile_runs_total", "Reconcile runs that ended, by result: done, implausible, incomplete, busy, failed.", "result")
	m.jobs = counter("work_total", "Background jobs, by task and outcome.", "task", "outcome")
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "symbolon_http_request_duration_seconds",
		Help:    "Time from the request's header to the end of its handler.",
		Buckets: []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"listener", "route"})
	m.lastRun = prometheus.NewGauge(prometheus.GaugeOpts{Name: "symbolon_reconcile_last_done_timestamp_seconds",
		Help: "When a reconcile run was last completed."})
	b := cli.ThisBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "symbolon_build_info", Help: "1, labelled with the build.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion}})
	info.Set(1)
	m.registry.MustRegister(m.seconds, m.lastRun, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// route returns the function that counts the answers of a route. Unknown paths share the
// route "none".
func (m *metrics) route(listener, pattern string) func(status int, took time.Duration) {
	if pattern == "" {
		pattern = "none"
	}
	requests := m.requests.MustCurryWith(prometheus.Labels{"listener": listener, "route": pattern})
	seconds := m.seconds.WithLabelValues(listener, pattern)
	ok := requests.WithLabelValues("200") // looked up once, because most answers are 200
	return func(status int, took time.Duration) {
		switch status {
		case 0, http.StatusOK: // 0: the handler wrote nothing
			ok.Inc()
		default:
			requests.WithLabelValues(strconv.Itoa(status)).Inc()
		}
		seconds.Observe(took.Seconds())
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

// sessions shows the state of the verifier and of its connections to other replicas.
func (m *metrics) sessions(v *session.Verifier, purges *purgeListener) {
	gauge := func(name, help string, value func(session.Stats) float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "symbolon_" + name, Help: help},
			func() float64 { return value(v.Stats()) }))
	}
	counter := func(name, help string, value func(session.Stats) uint64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "symbolon_" + name, Help: help},
			func() float64 { return float64(value(v.Stats())) }))
	}
	gauge("session_max_staleness_seconds", "The longest time for which a session that was revoked at Ory may still be accepted.",
		func(session.Stats) float64 { return v.Bound().Seconds() })
	gauge("sessions_cached", "Cached answers of Ory.", func(s session.Stats) float64 { return float64(s.Sessions) })
	gauge("sessions_cached_bytes", "Approximate memory of the cached answers.", func(s session.Stats) float64 { return float64(s.Bytes) })
	gauge("ory_breaker_open", "1 while Ory does not answer and gets one request a second.", func(s session.Stats) float64 { return one(s.BreakerOpen) })
	gauge("replicas_listening", "1 while the LISTEN connection reports purges of other replicas. 0: the table is polled, twice a second.",
		func(session.Stats) float64 { return one(purges.listening.Load()) })
	gauge("replicas_broadcast_down", "1 while purges of other replicas cannot be received at all.", func(s session.Stats) float64 { return one(s.BroadcastDown) })
	gauge("replicas_memory_pending", "Known sessions that are not yet written to the table of the replicas.", func(s session.Stats) float64 { return float64(s.MemoryPending) })
	gauge("replicas_purges_pending", "Purges that are not yet sent to other replicas.", func(s session.Stats) float64 { return float64(s.PurgesPending) })
	counter("session_questions_total", "Requests to Ory that check a session.", func(s session.Stats) uint64 { return s.Asked })
	counter("session_refreshes_total", "Requests among them that refresh a session in use, in the background.", func(s session.Stats) uint64 { return s.Renewed })
	counter("session_served_stale_total", "Answers from the cache that were extended because Ory did not answer.", func(s session.Stats) uint64 { return s.ServedStale })
	counter("session_unknown_total", "Requests to Ory that ended in \"don't know\".", func(s session.Stats) uint64 { return s.Unknown })
	gauge("jwt_keys", "Public keys that verify Ory's tokens. 0: auth.jwt is not configured, or its keys could not be read yet.",
		func(s session.Stats) float64 { return float64(s.Tokens.Keys) })
	counter("jwt_key_faults_total", "Failed attempts to read the public keys.", func(s session.Stats) uint64 { return s.Tokens.KeyFaults })
	counter("jwt_signatures_total", "Signatures of Ory's tokens that were checked, valid or not.", func(s session.Stats) uint64 { return s.Tokens.Signatures })
	counter("jwt_refused_total", "JWTs that were refused, including the application's own.", func(s session.Stats) uint64 { return s.Tokens.Refused })
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}
