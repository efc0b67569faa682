package plan

import (
	"encoding/json"
	"fmt"
)

// UnmarshalJSON reads what [Stage.MarshalJSON] writes. A step of a kind that is
// none of the five is an error.
func (s *Stage) UnmarshalJSON(data []byte) error {
	type bare Stage // without this method
	in := struct {
		*bare
		Steps []json.RawMessage `json:"steps"`
	}{bare: (*bare)(s)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	s.Steps = make([]Step, len(in.Steps))
	for i, raw := range in.Steps {
		var err error
		if s.Steps[i], err = readStep(raw); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

// readStep reads one step by its kind.
func readStep(raw json.RawMessage) (Step, error) {
	var head struct {
		Kind string `json:"step"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, err
	}
	switch head.Kind {
	case Copy{}.Kind():
		return read[Copy](raw)
	case Write{}.Kind():
		return read[Write](raw)
	case Install{}.Kind():
		return read[Install](raw)
	case Run{}.Kind():
		return read[Run](raw)
	case Set{}.Kind():
		return read[Set](raw)
	}
	return nil, fmt.Errorf("unknown kind %q", head.Kind)
}

func read[S Step](raw json.RawMessage) (Step, error) {
	var s S
	err := json.Unmarshal(raw, &s)
	return s, err
}
