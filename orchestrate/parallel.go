package orchestrate

import (
	"errors"
	"sync"
)

// eachHost calls do for every host at once and waits for all: one host's failure never cancels another's work. The
// error joins those of all hosts, in the hosts' order.
func eachHost(hosts []Host, do func(i int, h Host) error) error {
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = do(i, h)
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// together runs independent acts at once, waits for all, and joins their errors in order.
func together(acts ...func() error) error {
	errs := make([]error, len(acts))
	var wg sync.WaitGroup
	for i, act := range acts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = act()
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}
