package sshx

import (
	"io"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// The speed of one session through a real sshd on loopback. Both ends share the machine.
func BenchmarkConnWrite(b *testing.B) {
	k := benchConn(b, "cat >/dev/null")
	buf := make([]byte, 1<<20)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConnRead(b *testing.B) {
	k := benchConn(b, "exec cat /dev/zero")
	buf := make([]byte, 1<<20)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.ReadFull(k, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// The time of one short command on an open connection.
func BenchmarkRun(b *testing.B) {
	c := newServer(b).dial(b)
	for b.Loop() {
		if _, err := c.Run(b.Context(), Command{Argv: []string{"true"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// The time from nothing to a connection.
func BenchmarkDial(b *testing.B) {
	s := newServer(b)
	o := s.options(b)
	for b.Loop() {
		c, err := Dial(b.Context(), s.addr(), o)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

func benchConn(b *testing.B, script string) io.ReadWriteCloser {
	b.Helper()
	k, err := newServer(b).dial(b).Conn(b.Context(), Command{Script: script})
	must(b, err)
	b.Cleanup(func() { k.Close() })
	return k
}

// What a cipher costs us: our own CPU time, since wall time has sshd's too.
func BenchmarkCiphers(b *testing.B) {
	for _, cipher := range ssh.SupportedAlgorithms().Ciphers {
		b.Run(cipher, func(b *testing.B) {
			k, err := newServer(b, "Ciphers "+cipher).dial(b).Conn(b.Context(), Command{Script: "cat >/dev/null"})
			must(b, err)
			defer k.Close()
			buf := make([]byte, 1<<20)
			b.SetBytes(int64(len(buf)))
			start := cpuTime(b)
			for b.Loop() {
				if _, err := k.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-start).Microseconds())/float64(b.N), "cpu-us/MiB")
		})
	}
}

// cpuTime is how long this process has computed.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
