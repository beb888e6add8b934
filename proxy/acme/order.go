package acme

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	client "golang.org/x/crypto/acme"
	_ "golang.org/x/crypto/x509roots/fallback" // the proxy's image has nothing but the program
)

const (
	maxTries = 6                // of one call to the authority: it may reject a nonce, or be busy for a moment
	callMax  = 30 * time.Second // for one call

	maxAnswer = 1 << 20 // bytes; a chain has some 5 KB
	maxWords  = 1000    // bytes of what the authority says
)

// Order gets a certificate for the enrolment's hosts, and returns it with its chain, and its private key, as PEM. By then
// challenges have been answered.
func Order(ctx context.Context, e Enrolment) (certificate, key string, err error) {
	c, err := dial(e)
	if err != nil {
		return "", "", err
	}
	defer c.HTTPClient.CloseIdleConnections()
	if err := register(ctx, c, e); err != nil {
		return "", "", explain("register", err)
	}
	order, err := c.AuthorizeOrder(ctx, client.DomainIDs(e.Hosts...))
	if err != nil {
		return "", "", explain("order", err)
	}
	for _, url := range order.AuthzURLs {
		if err := authorize(ctx, c, url); err != nil {
			return "", "", err
		}
	}
	if order, err = c.WaitOrder(ctx, order.URI); err != nil {
		return "", "", explain("order", err)
	}
	return finish(ctx, c, order, e.Hosts)
}

func dial(e Enrolment) (*client.Client, error) {
	key, err := e.key()
	if err != nil {
		return nil, err
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ResponseHeaderTimeout: callMax, MaxResponseHeaderBytes: 64 << 10}
	if e.Roots != "" {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		t.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(e.Roots))
	}
	directory := e.Directory
	if directory == "" {
		directory = client.LetsEncryptURL
	}
	return &client.Client{
		Key: key, DirectoryURL: directory, UserAgent: "ship-proxy", HTTPClient: &http.Client{Transport: bounded{t}, Timeout: callMax},
		RetryBackoff: func(n int, _ *http.Request, resp *http.Response) time.Duration {
			if n >= maxTries || resp != nil && resp.StatusCode == http.StatusTooManyRequests {
				return -1 // that is for the schedule to wait for
			}
			return time.Duration(n) * 500 * time.Millisecond
		},
	}, nil
}

// bounded reads no more than maxAnswer of an answer, whatever an authority sends.
type bounded struct{ *http.Transport }

// RoundTrip is for [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

func register(ctx context.Context, c *client.Client, e Enrolment) error {
	a := &client.Account{}
	if e.Email != "" {
		a.Contact = []string{"mailto:" + e.Email}
	}
	if e.KeyID != "" {
		secret, err := e.hmac()
		if err != nil {
			return err
		}
		a.ExternalAccountBinding = &client.ExternalAccountBinding{KID: e.KeyID, Key: secret}
	}
	_, err := c.Register(ctx, a, client.AcceptTOS)
	if errors.Is(err, client.ErrAccountAlreadyExists) {
		return nil
	}
	return err
}

// authorize proves that one host is ours.
func authorize(ctx context.Context, c *client.Client, url string) error {
	z, err := c.GetAuthorization(ctx, url)
	if err != nil {
		return explain("authorize", err)
	}
	if z.Status == client.StatusValid {
		return nil
	}
	i := slices.IndexFunc(z.Challenges, func(ch *client.Challenge) bool { return ch.Type == "http-01" })
	if i < 0 {
		return fmt.Errorf("authorize %.80q: the authority offers no http-01 challenge", z.Identifier.Value)
	}
	if _, err := c.Accept(ctx, z.Challenges[i]); err != nil {
		return explain("authorize "+z.Identifier.Value, err)
	}
	if _, err := c.WaitAuthorization(ctx, z.URI); err != nil {
		return explain("authorize "+z.Identifier.Value, err)
	}
	return nil
}

func finish(ctx context.Context, c *client.Client, order *client.Order, hosts []string) (string, string, error) {
	key, text, err := newKey()
	if err != nil {
		return "", "", err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: hosts}, key)
	if err != nil {
		return "", "", fmt.Errorf("make a request for a certificate: %w", err)
	}
	chain, _, err := c.CreateCertFromOrder(ctx, order, csr, true)
	if err != nil {
		return "", "", explain("fetch the certificate", err)
	}
	var out strings.Builder
	for _, der := range chain {
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return "", "", fmt.Errorf("write the certificate: %w", err)
		}
	}
	return out.String(), text, nil
}

// RefusedError is what the authority said. Its words come from outside.
type RefusedError struct {
	Act   string
	Words string
	After time.Duration // how long it wants to be left alone; 0 = it did not say
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: the authority refuses: %s", e.Act, e.Words)
}

// explain finds the authority's own words: those of a challenge stand below the ones of the order.
func explain(act string, err error) error {
	var denied *client.AuthorizationError
	if errors.As(err, &denied) && len(denied.Errors) > 0 {
		var words []string
		for _, e := range denied.Errors {
			words = append(words, strings.TrimPrefix(e.Error(), "acme: "))
		}
		return &RefusedError{Act: act, Words: fmt.Sprintf("%.*s", maxWords, strings.Join(words, "; "))}
	}
	var problem *client.Error
	if errors.As(err, &problem) {
		after, _ := client.RateLimit(err)
		return &RefusedError{act, fmt.Sprintf("%d %.*s: %.*s", problem.StatusCode, maxWords, problem.ProblemType, maxWords, problem.Detail), after}
	}
	return fmt.Errorf("%s: %w", act, err)
}
