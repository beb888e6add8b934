package main

import (
	"testing"

	"ship/config"
)

func TestGroupOf(t *testing.T) {
	settings := config.Transfer{Groups: map[string]string{
		"web-1": "eu", "deploy@web-2:2222": "us", "ssh://[fd00::1]:22": "eu",
		"a@shared:2201": "eu", "a@shared:2202": "us",
		"one@twice:1": "eu", "two@twice:2": "eu",
	}}
	for name, want := range map[string]string{
		"web-1": "eu", "root@web-1": "eu", "web-1:22": "eu", "ssh://root@web-1:22/": "eu", "web-10": "",
		"web-2": "us", "deploy@web-2:2222": "us", "anna@corp.example@web-2": "us",
		"fd00::1": "eu", "root@fd00::1": "eu", "[fd00::1]:2222": "eu", "fd00::2": "",
		"a@shared:2202": "us", "shared": "", "twice": "eu",
	} {
		if got := groupOf(settings, name); got != want {
			t.Errorf("%s: group %q, expected %q", name, got, want)
		}
	}
}
