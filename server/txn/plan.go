package txn

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-security/holdfast/server"
)

// A Kind says what a transaction is for.
type Kind string

// The kinds.
const (
	// Packages installs software, before the changes that need it.
	Packages Kind = "packages"
	// Changes is everything else that a plan does.
	Changes Kind = "changes"
	// Undo puts back what an earlier transaction has done.
	Undo Kind = "undo"
)

// planFile is the content of plan.json.
type planFile struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
	Meta
	Began time.Time  `json:"began"`
	Steps []planStep `json:"steps"`
}

// planStep is a [server.Step] as it is stored.
type planStep struct {
	Controls []string        `json:"controls,omitempty"`
	Resource json.RawMessage `json:"resource"`
	Change   storedChange    `json:"change"`
	LocksOut bool            `json:"locks_out,omitempty"`
	// Stage is when the step has its turn, so that a rollback knows it even if
	// it cannot read the resource.
	Stage stage `json:"stage"`
}

// A stage is the place of a resource's kind in the order of things.
type stage string

const (
	installers stage = "install"
	ordinary   stage = "change"
	followers  stage = "follow"
)

func stageOf(r server.Resource) stage {
	switch r.(type) {
	case server.Installer:
		return installers
	case server.Follower:
		return followers
	}
	return ordinary
}

func encodeSteps(c Codec, steps []server.Step) ([]planStep, error) {
	all := make([]planStep, 0, len(steps))
	for _, s := range steps {
		data, err := c.Encode(s.Resource)
		if err != nil {
			return nil, fmt.Errorf("writing down %s: %w", s.Change.Resource, err)
		}
		all = append(all, planStep{
			Controls: s.Controls, Resource: data, Change: stored(s.Change), LocksOut: s.LocksOut, Stage: stageOf(s.Resource),
		})
	}
	return all, nil
}

// parsePlan reads plan.json.
func parsePlan(path string, data []byte) (planFile, error) {
	var p planFile
	if err := decode(path, data, &p); err != nil {
		return planFile{}, err
	}
	for i, s := range p.Steps {
		if s.Stage != installers && s.Stage != ordinary && s.Stage != followers {
			return planFile{}, fmt.Errorf("reading %s: step %d has the unknown stage %q", path, i, s.Stage)
		}
	}
	return p, nil
}

// has reports whether the plan has steps of a stage.
func (p planFile) has(s stage) bool {
	for _, step := range p.Steps {
		if step.Stage == s {
			return true
		}
	}
	return false
}
