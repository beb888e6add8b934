package proxy

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// BasicAuth is the user that a service is open to. The proxy never sees the password but in requests.
type BasicAuth struct {
	User string `json:"user"`
	Hash string `json:"hash,omitempty"` // as NewBasicAuth makes it; "" in a [Status]
}

const (
	hashName       = "pbkdf2-sha256"
	hashIterations = 600_000 // about 100 ms
	maxIterations  = 10_000_000
	maxVerifying   = 2  // passwords of a service that are tried at once: each takes a CPU
	maxWaiting     = 64 // that wait for that
)

// NewBasicAuth hashes the password. The salt is made of scope and user, not of chance: the same words give the same
// hash, so that a deploy which changes nothing finds that nothing has changed.
func NewBasicAuth(scope, user, password string) (BasicAuth, error) {
	if password == "" {
		return BasicAuth{}, errors.New("the password is empty")
	}
	return hashed(scope, user, password, hashIterations)
}

func hashed(scope, user, password string, iterations int) (BasicAuth, error) {
	salt := sha256.Sum256([]byte("ship basic auth\x00" + scope + "\x00" + user))
	key, err := pbkdf2.Key(sha256.New, password, salt[:16], iterations, sha256.Size)
	if err != nil {
		return BasicAuth{}, fmt.Errorf("hash the password: %w", err)
	}
	enc := base64.RawStdEncoding.EncodeToString
	b := BasicAuth{user, strings.Join([]string{hashName, strconv.Itoa(iterations), enc(salt[:16]), enc(key)}, "$")}
	return b, b.check()
}

func (b BasicAuth) check() error {
	if b.User == "" || len(b.User) > maxName || strings.ContainsFunc(b.User, func(c rune) bool { return c == ':' || c < ' ' || c == 0x7f }) {
		return errors.New("basic auth: want a user's name without a colon")
	}
	_, err := parseHash(b.Hash)
	return err
}

// passwordHash is a hash, taken apart.
type passwordHash struct {
	iterations int
	salt, key  []byte
}

// parseHash does not say what it read: it is half a secret.
func parseHash(s string) (h passwordHash, err error) {
	bad := errors.New("basic auth: this is no hash of a password")
	part := strings.Split(s, "$")
	if len(s) > 256 || len(part) != 4 || part[0] != hashName {
		return h, bad
	}
	var errs [3]error
	h.iterations, errs[0] = strconv.Atoi(part[1])
	h.salt, errs[1] = base64.RawStdEncoding.DecodeString(part[2])
	h.key, errs[2] = base64.RawStdEncoding.DecodeString(part[3])
	if errors.Join(errs[:]...) != nil || h.iterations < 1 || h.iterations > maxIterations || len(h.salt) < 8 || len(h.key) != sha256.Size {
		return h, bad
	}
	return h, nil
}

// guard lets the user of a service in. A password that was right once costs one HMAC from then on.
type guard struct {
	user    string
	hash    passwordHash
	secret  [32]byte // of this guard, for known
	known   atomic.Pointer[[sha256.Size]byte]
	turn    chan struct{}
	waiting atomic.Int64
}

// newGuard takes what was checked; nil = everybody may come.
func newGuard(b *BasicAuth) *guard {
	if b == nil {
		return nil
	}
	h, err := parseHash(b.Hash)
	if err != nil { // then nobody may: no key has this length
		h = passwordHash{1, nil, nil}
	}
	g := &guard{user: b.User, hash: h, turn: make(chan struct{}, maxVerifying)}
	_, _ = rand.Read(g.secret[:]) // never fails
	return g
}

// errBusy is more passwords at once than are tried.
var errBusy = errors.New("too many passwords at once")

// admits tells whether these are the right words. A wrong user takes as long as a wrong password.
func (g *guard) admits(ctx context.Context, user, password string) (bool, error) {
	mac := hmac.New(sha256.New, g.secret[:])
	mac.Write([]byte(user + "\x00" + password))
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	if k := g.known.Load(); k != nil && subtle.ConstantTimeCompare(k[:], sum[:]) == 1 {
		return true, nil
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > maxWaiting {
		return false, errBusy
	}
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	key, err := pbkdf2.Key(sha256.New, password, g.hash.salt, g.hash.iterations, sha256.Size)
	if err != nil {
		return false, err
	}
	a, b := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(g.user))
	if subtle.ConstantTimeCompare(key, g.hash.key)&subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
		return false, nil
	}
	g.known.Store(&sum)
	return true, nil
}

// authorised tells whether a request may go on; otherwise it has been answered. The words are for the proxy: the app does
// not see them.
func (s *live) authorised(w http.ResponseWriter, r *http.Request) bool {
	if s.guard == nil {
		return true
	}
	user, password, ok := r.BasicAuth()
	var err error
	if ok {
		ok, err = s.guard.admits(r.Context(), user, password)
	}
	switch {
	case err != nil:
		writePage(w, r, http.StatusServiceUnavailable, "Too many are at the door.", 1)
	case !ok:
		writePage(w, r, http.StatusUnauthorized, "Name and password, please.", 0, "WWW-Authenticate", `Basic realm="`+s.Name+`", charset="UTF-8"`)
	default:
		r.Header.Del("Authorization")
		return true
	}
	return false
}
