package docker

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fullSpec sets every field, so that a forgotten one shows.
func fullSpec() ContainerSpec {
	seven := 7
	return ContainerSpec{
		Name: "shop-web-1", Image: "shop:v1", Env: []string{"A=b"}, Cmd: []string{"serve"}, Entrypoint: []string{"/app"},
		Labels: map[string]string{"ship.service": "shop"}, User: "1000:1000", Hostname: "web-1",
		Network: "ship", IP: "172.30.0.9", Aliases: []string{"shop"}, Ports: []Port{{HostIP: "127.0.0.1", HostPort: "8080", Container: "80/tcp"}},
		Restart: "on-failure:3", Mounts: []Mount{{Type: "volume", Source: "v", Target: "/v", ReadOnly: true}},
		Tmpfs: map[string]string{"/run": "size=1m"}, StopTimeout: &seven, StopSignal: "SIGINT",
		Healthcheck: &Healthcheck{Test: []string{"CMD", "/alive"}, Interval: time.Second, Timeout: 2 * time.Second, StartPeriod: 3 * time.Second, Retries: 4},
		ExtraHosts:  []string{"db:10.0.0.1"}, LogDriver: "json-file", LogMaxSize: "10m", Init: true,
		CapAdd: []string{"NET_BIND_SERVICE"}, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, ReadOnlyRoot: true,
	}
}

// What create is asked and what inspect answers have the same shape, so a spec survives the way there and back.
func TestSpecRoundTrip(t *testing.T) {
	spec := fullSpec()
	v := reflect.ValueOf(spec)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Fatalf("fullSpec leaves out %s", v.Type().Field(i).Name)
		}
	}
	body, err := createBody(spec)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	var answer containerAnswer
	for _, into := range []any{&answer.Config, &answer} { // the configuration lies one level deeper in answers
		if err := json.Unmarshal(asked, into); err != nil {
			t.Fatal(err)
		}
	}
	answer.ID, answer.Name = "0123456789abcdef", "/"+spec.Name
	answer.NetworkSettings.Networks = body.NetworkingConfig.EndpointsConfig
	if got := answer.spec(); !reflect.DeepEqual(got, spec) {
		t.Errorf("got  %+v\nwant %+v", got, spec)
	}
}

func TestCreateBody(t *testing.T) {
	for name, tc := range map[string]struct {
		spec ContainerSpec
		want string // of the JSON, or of the error
	}{
		"least":               {ContainerSpec{Image: "a"}, `{"Image":"a","HostConfig":{}}`},
		"host network":        {ContainerSpec{Image: "a", Network: "host"}, `{"Image":"a","HostConfig":{"NetworkMode":"host"}}`},
		"log size":            {ContainerSpec{LogMaxSize: "1m"}, `{"HostConfig":{"LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}}}}`},
		"log driver":          {ContainerSpec{LogDriver: "journald"}, `{"HostConfig":{"LogConfig":{"Type":"journald"}}}`},
		"restart":             {ContainerSpec{Restart: "always"}, `{"HostConfig":{"RestartPolicy":{"Name":"always","MaximumRetryCount":0}}}`},
		"ipv6":                {ContainerSpec{Network: "n", IP: "fd00::9"}, `{"HostConfig":{"NetworkMode":"n"},"NetworkingConfig":{"EndpointsConfig":{"n":{"IPAMConfig":{"IPv6Address":"fd00::9"}}}}}`},
		"restart count":       {ContainerSpec{Restart: "always:3"}, `restart policy "always:3": want on-failure:NUMBER`},
		"restart number":      {ContainerSpec{Restart: "on-failure:x"}, `restart policy "on-failure:x": want on-failure:NUMBER`},
		"address, no network": {ContainerSpec{IP: "10.0.0.1"}, `a fixed address or an alias needs a network`},
		"no address":          {ContainerSpec{Network: "n", IP: "x"}, `fixed address: ParseAddr("x"): unable to parse IP`},
	} {
		body, err := createBody(tc.spec)
		got := ""
		if err != nil {
			got = err.Error()
		} else if b, err := json.Marshal(body); err != nil {
			t.Fatal(err)
		} else {
			got = string(b)
		}
		if got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
	}
}

func TestContainerAnswer(t *testing.T) {
	const in = `{"Id":"0123456789abcdef","Name":"/web","Image":"sha256:aa","Created":"2026-01-02T03:04:05.678Z","RestartCount":3,
		"State":{"Status":"restarting","Running":true,"Restarting":true,"ExitCode":1,"OOMKilled":true,"Error":"bad\u001b[0m thing",
			"StartedAt":"2026-01-02T03:04:06Z","FinishedAt":"0001-01-01T00:00:00Z",
			"Health":{"Status":"unhealthy","Log":[{"Output":"first"},{"Output":"line 1\nline 2\n"}]}},
		"Config":{"Hostname":"0123456789ab","Image":"shop:v1","Cmd":"old form","Labels":{"k":"v"}},
		"HostConfig":{"NetworkMode":"n","Binds":["/etc:/etc:ro,z","vol:/data","odd"]},
		"NetworkSettings":{"Networks":{"n":{"IPAddress":"","IPAMConfig":{"IPv4Address":"10.0.0.9"},"Aliases":["0123456789ab","web"]}}}}`
	var a containerAnswer
	if err := json.Unmarshal([]byte(in), &a); err != nil {
		t.Fatal(err)
	}
	c := a.container()
	if c.Name != "web" || c.ImageID != "sha256:aa" || c.State != "restarting" || !c.Restarting || !c.OOMKilled || c.RestartCount != 3 ||
		c.Error != "bad thing" || c.Health != "unhealthy" || !reflect.DeepEqual(c.HealthLog, []string{"first", "line 1 line 2"}) ||
		!c.FinishedAt.IsZero() || c.StartedAt.IsZero() || c.IPs["n"] != "10.0.0.9" {
		t.Errorf("container %+v", c)
	}
	s := c.Spec
	mounts := []Mount{{Type: "bind", Source: "/etc", Target: "/etc", ReadOnly: true}, {Type: "volume", Source: "vol", Target: "/data"}}
	if s.Hostname != "" || s.IP != "10.0.0.9" || !reflect.DeepEqual(s.Aliases, []string{"web"}) ||
		!reflect.DeepEqual(s.Mounts, mounts) || strings.Join(s.Cmd, ",") != "old form" {
		t.Errorf("spec %+v", s)
	}
}

func TestImageAnswer(t *testing.T) {
	const amd = `"Kind":"image","ImageData":{"Platform":{"architecture":"amd64","os":"linux"},"Size":{"Unpacked":%s}}`
	manifest := func(available, unpacked string) string {
		return `{"Available":` + available + `,` + strings.Replace(amd, "%s", unpacked, 1) + `}`
	}
	arm := `{"Available":true,"Kind":"image","ImageData":{"Platform":{"architecture":"arm64","os":"linux"},"Size":{"Unpacked":5}}}`
	whole := `"Architecture":"amd64","Os":"linux",`
	for name, tc := range map[string]struct {
		in                  string
		available, unpacked bool
	}{
		"cannot tell":             {`{` + whole + `"Created":""}`, true, true},
		"complete":                {`{` + whole + `"Manifests":[` + manifest("true", "7") + `]}`, true, true},
		"broken":                  {`{` + whole + `"Manifests":[` + manifest("true", "0") + `]}`, true, false},
		"half-formed":             {`{` + whole + `"Manifests":[` + manifest("false", "7") + `]}`, false, true},
		"half-formed, no config":  {`{"Manifests":[{"Available":false,"Kind":"unknown"}]}`, false, false},
		"only the other platform": {`{` + whole + `"Manifests":[` + manifest("false", "0") + `,` + arm + `]}`, false, false},
		"attestation":             {`{` + whole + `"Manifests":[{"Available":true,"Kind":"attestation"},` + manifest("false", "0") + `]}`, false, false},
	} {
		var a imageAnswer
		if err := json.Unmarshal([]byte(tc.in), &a); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if i := a.info(); i.Available != tc.available || i.Unpacked != tc.unpacked {
			t.Errorf("%s: available %v, unpacked %v", name, i.Available, i.Unpacked)
		}
	}
}
