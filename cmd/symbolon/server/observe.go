package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/symbolon-id/symbolon/cmd/symbolon/cli"
	"github.com/symbolon-id/symbolon/internal/answer"
)

// observer wraps every handler of a listener. It counts requests, logs them at debug level,
// and turns a panic into an answer. A query, a header or a body is never logged.
type observer struct {
	listener string // "public", "operator"
	log      *slog.Logger
	metrics  *metrics
}

func (o *observer) wrap(pattern string, next http.Handler) http.Handler {
	count := o.metrics.route(o.listener, pattern)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w}
		defer func() {
			failure := recover()
			err, _ := failure.(error)
			aborted := errors.Is(err, http.ErrAbortHandler)
			if failure != nil && !aborted {
				o.panicked(rec, pattern, failure)
			}
			took := time.Since(start)
			count(rec.status, took)
			o.note(r, pattern, rec, took)
			if aborted {
				panic(failure)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// note logs a request. Its method and its path are cut, because a stranger chooses them.
func (o *observer) note(r *http.Request, pattern string, rec *recorder, took time.Duration) {
	if !o.log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	o.log.Debug("request", "listener", o.listener, "method", cli.Clip(r.Method, 16), "route", pattern,
		"path", cli.Clip(r.URL.EscapedPath(), 128), "status", rec.status, "bytes", rec.bytes, "ms", float64(took.Microseconds())/1000)
}

// panicked answers for a handler that panicked. The value of the panic is logged only if
// the runtime made it. Any other value may hold personal data.
func (o *observer) panicked(rec *recorder, pattern string, failure any) {
	what := fmt.Sprintf("%T", failure)
	err, _ := failure.(error)
	if known, ok := errors.AsType[runtime.Error](err); ok {
		what = known.Error()
	}
	o.log.Error("panic", "listener", o.listener, "route", pattern, "panic", what, "stack", string(debug.Stack()))
	if rec.status == 0 {
		answer.Write(rec, answer.New(500, answer.Unavailable, "Something went wrong here. It has been logged."))
	}
}

// recorder records the status and the size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += n
	return n, err
}

// Unwrap gives http.ResponseController the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
