package proxy

import "net/http"

// recorder sees what is answered.
type recorder struct {
	http.ResponseWriter
	x *exchange
}

// WriteHeader keeps the final status: a 103 is only on the way to it.
func (w *recorder) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		w.x.status = code
	}
	if h := w.Header(); code >= 200 && h["Content-Type"] == nil {
		h["Content-Type"] = nil // or the server would guess one from the body, and browsers believe it
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.x.status == 0 {
		w.x.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.x.bytes.Add(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController reach Flush and the deadlines.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
