package setup

import (
	"bytes"
	"context"
	"errors"
	"io"

	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/secret"
)

// maxPassword bounds what is read of a password.
const maxPassword = 64 << 10

// ReadPassword reads a password from a file that others cannot access; - is input, and
// empty none.
func ReadPassword(path string, input io.Reader) ([]byte, error) {
	switch path {
	case "":
		return nil, nil
	case "-":
		text, err := io.ReadAll(io.LimitReader(input, maxPassword))
		if err != nil {
			return nil, err
		}
		return TrimPassword(text)
	}
	return secret.File(path).Read()
}

// TrimPassword strips the end of the line that a password was typed in.
func TrimPassword(text []byte) ([]byte, error) {
	text = bytes.TrimRight(text, "\r\n")
	if len(text) == 0 {
		return nil, errors.New("there is no password in it")
	}
	return text, nil
}

// Try asks the step-ca whether it takes the issuer: its root is the pinned one, and the
// password opens the provisioner's key. No certificate is asked for.
func (i Issuer) Try(ctx context.Context) error {
	o := step.DefaultOptions()
	o.URL, o.Fingerprint, o.Provisioner, o.Password = i.URL, i.Fingerprint, i.Provisioner, given(i.Password)
	_, err := step.New(o).Inspect(ctx, nil)
	return err
}

// given is a secret that is at hand; the zero Secret where password is nil.
func given(password []byte) secret.Secret {
	if password == nil {
		return secret.Secret{}
	}
	return secret.Func(func() ([]byte, error) { return password, nil })
}
