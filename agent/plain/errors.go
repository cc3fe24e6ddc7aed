package plain

import (
	"errors"
	"strings"
)

// Join returns one error for those of errs that are not nil; nil when all are.
// Its text is one line, with "; " between them, and errors.Is and errors.As see
// each of them.
func Join(errs ...error) error {
	var joined joinedErrors
	for _, err := range errs {
		if err != nil {
			joined = append(joined, err)
		}
	}
	switch len(joined) {
	case 0:
		return nil
	case 1:
		return joined[0]
	}
	return joined
}

type joinedErrors []error

func (j joinedErrors) Error() string {
	var texts []string
	for _, err := range j {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

func (j joinedErrors) Unwrap() []error { return j }

// Hint returns what a person can do about err: what its method Hint() string, or that
// of an error in its chain, returns. It is empty where the text of err does not end
// with it, so that who shows the text can put it on a line of its own.
func Hint(err error) string {
	var hinting interface{ Hint() string }
	if errors.As(err, &hinting) && strings.HasSuffix(err.Error(), ": "+hinting.Hint()) {
		return hinting.Hint()
	}
	return ""
}
