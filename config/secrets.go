package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// SecretSource knows the values of secrets: the controller's environment first, then files.
type SecretSource struct {
	getenv func(string) (string, bool)
	files  []string // for the message about what is missing
	values map[string]Secret
}

// MissingSecretsError names all secrets that nobody knows.
type MissingSecretsError struct {
	Names []string
	Files []string // that were looked at
}

func (e *MissingSecretsError) Error() string {
	return fmt.Sprintf("no value for %s: neither in the environment nor in %s", strings.Join(e.Names, ", "), strings.Join(e.Files, " or "))
}

// Hint says what to do.
func (e *MissingSecretsError) Hint() string {
	return "export it, or write " + e.Names[0] + "=... into " + e.Files[0]
}

// ExitCode is for cmd.
func (e *MissingSecretsError) ExitCode() int { return ExitUsage }

// OpenSecrets reads the app's files of secrets, those that exist. The warnings are for the user to read. getenv may
// be nil.
func (a *App) OpenSecrets(getenv func(string) (string, bool)) (*SecretSource, []string, error) {
	s := &SecretSource{getenv: getenv, files: a.SecretFiles, values: make(map[string]Secret)}
	var warnings []string
	for _, path := range a.SecretFiles {
		data, mode, err := readSecretFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, warnings, fmt.Errorf("read secrets: %w", err)
		}
		if mode.Perm()&0o007 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s is open to every user of this machine (mode %04o): chmod 600 %[1]s", path, mode.Perm()))
		}
		values, err := parseDotenv(path, data)
		if err != nil {
			return nil, warnings, err
		}
		for name, value := range values {
			if _, known := s.values[name]; !known {
				s.values[name] = value
			}
		}
	}
	return s, warnings, nil
}

func readSecretFile(path string) (data []byte, mode fs.FileMode, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = cmp.Or(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, info.Mode(), err
}

// Lookup finds one secret.
func (s *SecretSource) Lookup(name string) (Secret, bool) {
	if s.getenv != nil {
		if value, ok := s.getenv(name); ok {
			return NewSecret(value), true
		}
	}
	value, ok := s.values[name]
	return value, ok
}

// Resolve finds the values of the environment. What is missing is told in one *MissingSecretsError.
func (e Env) Resolve(s *SecretSource) (clear map[string]string, secret map[string]Secret, err error) {
	secret = make(map[string]Secret, len(e.Secret))
	var missing []string
	for _, ref := range e.Secret {
		value, ok := s.Lookup(ref.Source)
		switch {
		case !ok:
			missing = append(missing, ref.Source)
		case strings.Contains(value.Reveal(), "\x00"):
			return nil, nil, fmt.Errorf("secret %s contains a NUL", ref.Source)
		}
		secret[ref.Name] = value
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, nil, &MissingSecretsError{slices.Compact(missing), s.files}
	}
	clear = maps.Clone(e.Clear)
	if clear == nil {
		clear = make(map[string]string)
	}
	return clear, secret, nil
}

// CheckSecrets tells in one error what is missing for all roles.
func (a *App) CheckSecrets(s *SecretSource) error {
	all := Env{}
	for _, r := range a.Roles {
		all.Secret = append(all.Secret, r.Env.Secret...)
		if r.Proxy != nil && r.Proxy.BasicAuth != nil {
			all.Secret = append(all.Secret, SecretRef{r.Proxy.BasicAuth.Password, r.Proxy.BasicAuth.Password})
		}
		if r.Proxy != nil && r.Proxy.TLS != nil && r.Proxy.TLS.ACME != nil && r.Proxy.TLS.ACME.HMACKey != "" {
			all.Secret = append(all.Secret, SecretRef{r.Proxy.TLS.ACME.HMACKey, r.Proxy.TLS.ACME.HMACKey})
		}
	}
	_, _, err := all.Resolve(s)
	return err
}

// secretFiles are that of the destination, if there is one, and the common one.
func secretFiles(path, destination string) []string {
	if destination == "" {
		return []string{path}
	}
	return []string{path + "." + destination, path}
}
