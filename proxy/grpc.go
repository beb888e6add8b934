package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// grpcPath is the method by which gRPC servers tell how they are, as grpc.health.v1 has it. Its request is a message with the
// name of a service as field 1, its answer one with a status as field 1.
const grpcPath = "/grpc.health.v1.Health/Check"

const (
	grpcServing   = 1
	maxGRPCAnswer = 4 << 10 // bytes; the answer has one small number
	maxGRPCName   = 256     // bytes of a service's name
)

// askGRPC asks the target's health service once, over HTTP/2 without TLS, for that is what gRPC servers behind a proxy speak.
func (c checker) askGRPC(ctx context.Context, t Target, s Service) Attempt {
	a := Attempt{Time: time.Now().UTC()}
	ctx, stop := context.WithTimeout(ctx, time.Duration(s.Health.Timeout))
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.Address+grpcPath, bytes.NewReader(grpcRequest(s.Health.Service)))
	if err != nil {
		a.Error = printable(err.Error(), 200)
		return a
	}
	req.Host = s.checkedAs()
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	req.Header.Set("User-Agent", "ship-proxy health check")
	resp, err := c.grpc.Do(req)
	if err != nil {
		a.Error, a.refused = printable(reason(err, time.Since(a.Time)), 200), errors.Is(err, syscall.ECONNREFUSED)
		return a
	}
	defer resp.Body.Close()
	a.Status = resp.StatusCode
	if err := readGRPC(resp); err != nil {
		a.Error = printable(err.Error(), 200)
		return a
	}
	a.Healthy = true
	return a
}

// grpcRequest is the framed message: it is not compressed, so many bytes long, and has at most one field.
func grpcRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service))), service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...)
}

// readGRPC returns nil if the answer says that the service serves.
func readGRPC(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	if resp.StatusCode != http.StatusOK || kind != "application/grpc" && !strings.HasPrefix(kind, "application/grpc+") {
		return fmt.Errorf("answered %d with %q: that is no gRPC", resp.StatusCode, kind)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxGRPCAnswer+1)) // to its end: the trailers come then
	switch {
	case err != nil:
		return err
	case len(b) > maxGRPCAnswer:
		return fmt.Errorf("the answer has more than %d bytes", maxGRPCAnswer)
	}
	code, message := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	if code == "" && len(b) == 0 { // an answer that is all head
		code, message = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	switch code {
	case "0":
	case "5":
		return errors.New("the app's health service does not know the service")
	case "12":
		return errors.New("the app has no grpc.health.v1.Health")
	default:
		return fmt.Errorf("grpc-status %q: %s", code, message)
	}
	status, err := parseGRPC(b)
	if err != nil {
		return err
	}
	if status != grpcServing {
		return fmt.Errorf("the app's health service says %s", grpcStatus(status))
	}
	return nil
}

func grpcStatus(n uint64) string {
	if names := [...]string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}; n < uint64(len(names)) {
		return names[n]
	}
	return fmt.Sprintf("status %d", n)
}

var errGRPC = errors.New("the answer is not that of a health service")

// parseGRPC reads one framed message and returns its field 1, 0 if it has none. Fields that are not known are passed over.
func parseGRPC(b []byte) (status uint64, err error) {
	if len(b) < 5 || b[0] != 0 || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-5) {
		return 0, errGRPC
	}
	for b = b[5:]; len(b) > 0; {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 || key>>3 == 1 && key&7 != 0 {
			return 0, errGRPC
		}
		b = b[n:]
		var skip uint64
		switch key & 7 {
		case 0:
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return 0, errGRPC
			}
			if skip = uint64(n); key>>3 == 1 {
				status = v
			}
		case 1:
			skip = 8
		case 2:
			v, n := binary.Uvarint(b)
			if n <= 0 || v > uint64(len(b)) {
				return 0, errGRPC
			}
			skip = v + uint64(n)
		case 5:
			skip = 4
		default:
			return 0, errGRPC
		}
		if skip > uint64(len(b)) {
			return 0, errGRPC
		}
		b = b[skip:]
	}
	return status, nil
}
