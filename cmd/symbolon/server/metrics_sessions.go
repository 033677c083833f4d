package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/symbolon-id/symbolon/session"
)

// sessionMetrics shows the state of the verifier and of its connections to other replicas.
type sessionMetrics struct {
	verifier *session.Verifier
	purges   *purgeListener
}

// sample is one metric and its current value.
type sample struct {
	name, help string
	kind       prometheus.ValueType
	value      float64
}

func (s sample) desc() *prometheus.Desc {
	return prometheus.NewDesc("symbolon_"+s.name, s.help, nil, nil)
}

func (m *sessionMetrics) samples() []sample {
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	s := m.verifier.Stats()
	return []sample{
		{"session_max_staleness_seconds", "The longest time for which a session that was revoked at Ory may still be accepted.", gauge, m.verifier.Bound().Seconds()},
		{"sessions_cached", "Cached answers of Ory.", gauge, float64(s.Sessions)},
		{"sessions_cached_bytes", "Approximate memory of the cached answers.", gauge, float64(s.Bytes)},
		{"ory_breaker_open", "1 while Ory does not answer and gets one request a second.", gauge, one(s.BreakerOpen)},
		{"replicas_listening", "1 while the LISTEN connection reports purges of other replicas. 0: the table is polled, twice a second.", gauge, one(m.purges.listening.Load())},
		{"replicas_broadcast_down", "1 while purges of other replicas cannot be received at all.", gauge, one(s.BroadcastDown)},
		{"replicas_memory_pending", "Known sessions that are not yet written to the table of the replicas.", gauge, float64(s.MemoryPending)},
		{"replicas_purges_pending", "Purges that are not yet sent to other replicas.", gauge, float64(s.PurgesPending)},
		{"session_questions_total", "Requests to Ory that check a session.", counter, float64(s.Asked)},
		{"session_refreshes_total", "Requests to Ory that refresh a session in use, in the background. They are a part of symbolon_session_questions_total.", counter, float64(s.Renewed)},
		{"session_served_stale_total", "Cached answers that were used past auth.max_stale because Ory did not answer.", counter, float64(s.ServedStale)},
		{"session_unknown_total", "Requests to Ory that ended in \"don't know\".", counter, float64(s.Unknown)},
		{"session_limited_known_total", "Requests to Ory about sessions that were valid earlier, not sent because Ory's rate limit is used up.", counter, float64(s.LimitedKnown)},
		{"session_limited_new_total", "Requests to Ory about credentials that were never valid here, not sent because Ory's rate limit is used up.", counter, float64(s.LimitedNew)},
		{"jwt_keys", "Public keys that verify Ory's tokens. 0: auth.jwt is not configured, or its keys could not be read yet.", gauge, float64(s.Tokens.Keys)},
		{"jwt_key_faults_total", "Failed attempts to read the public keys.", counter, float64(s.Tokens.KeyFaults)},
		{"jwt_signatures_total", "Checks of the signatures of Ory's tokens, whatever their result. A token in the cache is not checked again.", counter, float64(s.Tokens.Signatures)},
		{"jwt_refused_total", "JWTs that were refused. JWTs that the application itself issued count, too.", counter, float64(s.Tokens.Refused)},
	}
}

// Describe implements prometheus.Collector.
func (m *sessionMetrics) Describe(ch chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(m, ch)
}

// Collect implements prometheus.Collector.
func (m *sessionMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, s := range m.samples() {
		ch <- prometheus.MustNewConstMetric(s.desc(), s.kind, s.value)
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
