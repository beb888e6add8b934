package orchestrate

import "fmt"

// Tally is how many requests a container has answered, and how many of them with 5xx.
type Tally struct {
	Answered, Failed int64
}

func (t Tally) String() string { return fmt.Sprintf("%d of %d requests", t.Failed, t.Answered) }

// What is less proves nothing: an app may be slow to warm up, and one client may ask for what fails.
const (
	enoughAnswers = 20
	worseBy       = 5
)

// worse says whether a release fails without doubt: at least half of its answers are errors, and that is far more than the
// one before it gave. Of one that was hardly asked nothing is known, and nothing is said.
func (t Tally) worse(before Tally) bool {
	if t.Answered < enoughAnswers || before.Answered < enoughAnswers {
		return false
	}
	now, then := float64(t.Failed)/float64(t.Answered), float64(before.Failed)/float64(before.Answered)
	return now >= 0.5 && now >= worseBy*then
}
