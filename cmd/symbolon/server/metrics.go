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

// metrics are what GET /metrics tells. Every label comes from a small fixed set:
// never an ID, a path or a method as a stranger sent it.
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
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_http_requests_total",
			Help: "Requests answered, by listener, route and status."}, []string{"listener", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "symbolon_http_request_duration_seconds",
			Help:    "Time from the request's header to the end of its handler.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"listener", "route"}),
		hooks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_hooks_total",
			Help: "Ory's hooks answered, by hook and outcome."}, []string{"hook", "outcome"}),
		links: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_links_made_total",
			Help: "Bonds made, by the way their identity came."}, []string{"way"}),
		creates: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_create_url_total",
			Help: "Questions to users.create_url, by outcome."}, []string{"outcome"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_reconcile_runs_total",
			Help: "Comparisons of everybody that ended, by how: done, implausible, incomplete, busy, failed."}, []string{"result"}),
		lastRun: prometheus.NewGauge(prometheus.GaugeOpts{Name: "symbolon_reconcile_last_done_timestamp_seconds",
			Help: "When a comparison of everybody last came to its end."}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "symbolon_work_total",
			Help: "What came of background work, by task and outcome."}, []string{"task", "outcome"}),
	}
	b := cli.ThisBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "symbolon_build_info", Help: "1, labelled with the build.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.GoVersion}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.hooks, m.links, m.creates, m.runs, m.lastRun, m.jobs, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// route returns what counts the answers of a route. Unknown paths share the route
// "none".
func (m *metrics) route(listener, pattern string) func(status int, took time.Duration) {
	if pattern == "" {
		pattern = "none"
	}
	requests := m.requests.MustCurryWith(prometheus.Labels{"listener": listener, "route": pattern})
	seconds := m.seconds.WithLabelValues(listener, pattern)
	ok := requests.WithLabelValues("200") // most are: it is not looked up each time
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

// sessions shows what the verifier does, and how late it may be.
func (m *metrics) sessions(v *session.Verifier, e *ear) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "symbolon_" + name, Help: help}, value))
	}
	counter := func(name, help string, value func(session.Stats) uint64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "symbolon_" + name, Help: help},
			func() float64 { return float64(value(v.Stats())) }))
	}
	gauge("session_max_staleness_seconds", "The longest time after which a session that was revoked at Ory may still be let in.",
		func() float64 { return v.Bound().Seconds() })
	gauge("sessions_cached", "Answers of Ory that are remembered.", func() float64 { return float64(v.Stats().Sessions) })
	gauge("sessions_cached_bytes", "What they take up, about.", func() float64 { return float64(v.Stats().Bytes) })
	gauge("ory_stopped", "1 while Ory does not answer and is asked once a second.", func() float64 { return one(v.Stats().BreakerOpen) })
	gauge("replicas_listening", "1 while Postgres tells of purges by other replicas; 0: the table is read, twice a second.",
		func() float64 { return one(e.listening.Load()) })
	gauge("replicas_deaf", "1 while purges by other replicas cannot be heard at all.", func() float64 { return one(v.Stats().BroadcastDown) })
	gauge("replicas_unwritten", "Known sessions and purges that other replicas have not been told of yet.",
		func() float64 { return float64(v.Stats().MemoryPending + v.Stats().PurgesPending) })
	counter("session_questions_total", "Questions to Ory whose a session is.", func(s session.Stats) uint64 { return s.Asked })
	counter("session_refreshes_total", "Of them in the background, for sessions in use.", func(s session.Stats) uint64 { return s.Renewed })
	counter("session_graced_total", "Answers that counted longer because Ory did not answer.", func(s session.Stats) uint64 { return s.ServedStale })
	gauge("jwt_keys", "Public keys by which Ory's tokens can be verified; 0: auth.jwt is not configured, or they could not be read yet.",
		func() float64 { return float64(v.Stats().Tokens.Keys) })
	counter("jwt_key_faults_total", "Readings of the public keys that failed.", func(s session.Stats) uint64 { return s.Tokens.KeyFaults })
	counter("jwt_signatures_total", "Signatures of Ory's tokens that were verified, good or not.", func(s session.Stats) uint64 { return s.Tokens.Signatures })
	counter("jwt_refused_total", "JWTs that let nobody in, those of the application's own among them.", func(s session.Stats) uint64 { return s.Tokens.Refused })
	counter("session_unknown_total", "Questions that ended in \"don't know\".", func(s session.Stats) uint64 { return s.Unknown })
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
