package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"sutler/internal/index"
	"sutler/internal/receipt"
)

// prefix is where the interface is, with its version.
const prefix = "/-/api/v1"

// maxRequest bounds what a client may send, bytes.
const maxRequest = 1 << 20

// Handler serves the interface. It must only be reachable by the owner of the daemon.
func Handler(d Daemon, b Builds, s Stock) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, answer func(r *http.Request) (any, error)) {
		mux.Handle(pattern, respond(answer))
	}
	handle("GET "+prefix+"/status", func(r *http.Request) (any, error) { return d.Status(r.Context()) })
	handle("POST "+prefix+"/stop", func(*http.Request) (any, error) { d.Stop(); return struct{}{}, nil })
	handle("POST "+prefix+"/reload", func(r *http.Request) (any, error) { return d.Reload(r.Context()) })
	handle("POST "+prefix+"/ca/rotate", func(r *http.Request) (any, error) {
		req, err := read[RotateRequest](r)
		if err != nil {
			return nil, err
		}
		return d.RotateCA(r.Context(), req)
	})
	handle("POST "+prefix+"/builds", func(r *http.Request) (any, error) {
		req, err := read[BuildRequest](r)
		if err != nil {
			return nil, err
		}
		return b.Begin(r.Context(), req)
	})
	handle("POST "+prefix+"/builds/{id}/end", func(r *http.Request) (any, error) {
		req, err := read[ended](r)
		if err != nil {
			return nil, err
		}
		return b.End(r.Context(), r.PathValue("id"), req.ExitCode)
	})
	handle("GET "+prefix+"/builds", func(r *http.Request) (any, error) { return b.List(r.Context(), cmp.Or(limit(r), math.MaxInt32)) })
	handle("GET "+prefix+"/builds/{id}", func(r *http.Request) (any, error) { return b.Show(r.Context(), r.PathValue("id")) })
	handle("GET "+prefix+"/items", func(r *http.Request) (any, error) {
		return s.Items(r.Context(), r.FormValue("match"), limit(r))
	})
	handle("GET "+prefix+"/item", func(r *http.Request) (any, error) { return s.Item(r.Context(), r.FormValue("name")) })
	handle("GET "+prefix+"/usage", func(r *http.Request) (any, error) { return s.Usage(r.Context()) })
	mux.HandleFunc("POST "+prefix+"/prune", func(w http.ResponseWriter, r *http.Request) { stream(w, r, s.Prune) })
	mux.HandleFunc("POST "+prefix+"/purge", func(w http.ResponseWriter, r *http.Request) { stream(w, r, s.Purge) })
	mux.HandleFunc("POST "+prefix+"/verify", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, func(ctx context.Context, _ struct{}, report func(Progress)) (Progress, error) {
			return s.Verify(ctx, report)
		})
	})
	return mux
}

// ended is the body of a build's end.
type ended struct {
	ExitCode int `json:"exitCode"`
}

// failure is the body of an answer that is an error.
type failure struct {
	Error string `json:"error"`
	Code  string `json:"code,omitempty"`
}

// errRequest means that a request makes no sense.
var errRequest = errors.New("invalid request")

func read[T any](r *http.Request) (T, error) {
	var v T
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, errors.Join(errRequest, err)
	}
	return v, nil
}

// limit returns how many rows are asked for; 0 is all.
func limit(r *http.Request) int {
	n, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// respond adapts a function that returns an answer or an error. Only it and verify write.
func respond(answer func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		v, err := answer(r)
		if err != nil {
			f := failure{Error: err.Error()}
			status, f.Code = code(err)
			v = f
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody to tell
	})
}

// notFound is the Code of what does not exist.
const notFound = "not-found"

func code(err error) (int, string) {
	switch {
	case errors.Is(err, receipt.ErrNotFound), errors.Is(err, index.ErrNotFound):
		return http.StatusNotFound, notFound
	case errors.Is(err, errRequest):
		return http.StatusBadRequest, ""
	}
	return http.StatusInternalServerError, ""
}

// An update is one line about a long operation: how far it has come or, in the last one,
// what came of it.
type update[T any] struct {
	Progress *Progress `json:"progress,omitempty"`
	Result   *T        `json:"result,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// stream runs a long operation and answers with one update a line.
func stream[Q, T any](w http.ResponseWriter, r *http.Request, run func(context.Context, Q, func(Progress)) (T, error)) {
	q, err := read[Q](r)
	if err != nil {
		respond(func(*http.Request) (any, error) { return nil, err }).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	got, err := run(r.Context(), q, func(p Progress) {
		_ = out.Encode(update[T]{Progress: &p}) // the client has gone: its context ends the work
		_ = flush.Flush()                       // likewise
	})
	last := update[T]{Result: &got}
	if err != nil {
		last.Error = err.Error()
	}
	_ = out.Encode(last) // likewise
}
