package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/setup"
)

// ask completes what the flags say: from the renewer that is taken over, from the CA, and
// from a person where one is at the terminal.
func (o *initOptions) ask(ctx context.Context, w io.Writer) error {
	o.Issuer.URL, o.Issuer.Directory = o.step, o.acme
	if o.from != "" {
		if err := o.former(ctx, w); err != nil {
			return err
		}
	}
	if o.Issuer.URL == "" && o.Issuer.Directory == "" {
		if err := o.askIssuer(w); err != nil {
			return err
		}
	}
	if o.Issuer.URL != "" {
		if err := o.stepCA(ctx, w); err != nil {
			return err
		}
	}
	if len(o.Names) == 0 {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		answer, err := o.question(w, "Names in the certificate", strings.ToLower(host), "--name")
		if err != nil {
			return err
		}
		o.Names = strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || r == ' ' })
	}
	if err := o.Fault(); err != nil {
		return usageError{err}
	}
	return nil
}

// former takes what another renewer's unit says, where no flag says otherwise.
func (o *initOptions) former(ctx context.Context, w io.Writer) error {
	f, err := setup.ReadFormer(ctx, o.from)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s renews %s from %s until now\n", f.Timer, f.Files.Cert, f.URL)
	o.Renewer = f.Timer
	if o.Issuer.URL == "" && o.Issuer.Directory == "" {
		o.Issuer.URL = f.URL
		if o.Issuer.Fingerprint == "" {
			o.Issuer.Fingerprint = f.Fingerprint
		}
		if o.Issuer.Provisioner == "" {
			o.Issuer.Provisioner = f.Provisioner
		}
	}
	if len(o.Names) == 0 {
		o.Names = f.Names
	}
	return nil
}

func (o *initOptions) askIssuer(w io.Writer) error {
	answer, err := o.question(w, "URL of your step-ca, or of the directory of an ACME CA", "", "--step or --acme")
	if err != nil {
		return err
	}
	if strings.Contains(answer, "acme") || strings.HasSuffix(answer, "/directory") {
		o.Issuer.Directory = answer
	} else {
		o.Issuer.URL = answer
	}
	return nil
}

// stepCA asks for the root, the provisioner and its password, and tries them.
func (o *initOptions) stepCA(ctx context.Context, w io.Writer) error {
	i := &o.Issuer
	if i.Fingerprint == "" {
		if err := o.pin(ctx, w); err != nil {
			return err
		}
	}
	if i.Provisioner == "" {
		names, err := step.Provisioners(ctx, i.URL, i.Fingerprint)
		switch {
		case err != nil:
			return err
		case len(names) == 0:
			return fmt.Errorf("%s has no JWK provisioner that a password opens: add one with `step ca provisioner add redis --create`", i.URL)
		case len(names) == 1:
			i.Provisioner = names[0]
		default:
			if i.Provisioner, err = o.question(w, "Provisioner ("+strings.Join(names, ", ")+")", names[0], "--provisioner"); err != nil {
				return err
			}
		}
	}
	if i.Password == nil {
		password, err := o.password(w, "Password of the provisioner "+i.Provisioner)
		if err != nil {
			return err
		}
		i.Password = password
	}
	return i.Try(ctx)
}

// pin shows the roots that the CA offers, of which a person confirms one.
func (o *initOptions) pin(ctx context.Context, w io.Writer) error {
	if !o.person() {
		return usageError{errors.New("say by which root the CA is known: --fingerprint (step certificate fingerprint root_ca.crt)")}
	}
	roots, err := step.OfferedRoots(ctx, o.Issuer.URL)
	if err != nil {
		return err
	}
	slices.Reverse(roots) // the newest is the last
	for _, root := range roots {
		print := cert.FingerprintOf(root).String()
		fmt.Fprintf(w, "%s has the root %s\n  sha256 %s\n", o.Issuer.URL, plain.OneLine(root.Subject.String()), print)
		if confirm(w, "Is that what the operator of the CA told you?") == nil {
			o.Issuer.Fingerprint = print
			return nil
		}
	}
	return errors.New("nothing was changed: ask the operator of the CA for the fingerprint of its root")
}

// person says whether somebody can be asked.
func (o *initOptions) person() bool { return !o.yes && term.IsTerminal(int(os.Stdin.Fd())) }

// question asks a person. Otherwise is taken for an empty answer, and where nobody can be
// asked; where it is empty, the flag is missing.
func (o *initOptions) question(w io.Writer, what, otherwise, flag string) (string, error) {
	if !o.person() {
		if otherwise == "" {
			return "", usageError{fmt.Errorf("nobody is there to ask for this: %s; say it with %s", what, flag)}
		}
		return otherwise, nil
	}
	if otherwise != "" {
		what += " [" + otherwise + "]"
	}
	fmt.Fprintf(w, "%s: ", what)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if answer = strings.TrimSpace(answer); answer == "" {
		answer = otherwise
	}
	if answer == "" && err == nil {
		err = fmt.Errorf("nothing was said; %s says it too", flag)
	}
	return answer, err
}

// password asks for one without showing it.
func (o *initOptions) password(w io.Writer, what string) ([]byte, error) {
	if !o.person() {
		return nil, usageError{fmt.Errorf("nobody is there to ask for this: %s; name a file with --provisioner-password-file", what)}
	}
	fmt.Fprintf(w, "%s: ", what)
	text, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(w)
	if err != nil {
		return nil, err
	}
	return setup.TrimPassword(text)
}
