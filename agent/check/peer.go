package check

import (
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/reload"
)

// server judges what the handshake showed beside the chain.
func (j *judge) server() {
	p := j.f.Probe
	if p.Version != 0 {
		j.res.TLSVersion = tls.VersionName(p.Version)
	}
	for _, d := range j.f.Differs {
		j.say(Warning, CodeConfig, d, "")
	}
	for _, l := range j.f.Links {
		j.link(l)
	}
	if len(j.f.Chain) == 0 || j.f.Err != nil {
		return // it did not get as far as that
	}
	note := func(is, text string) {
		j.res.ClientAuth = is
		if text != "" {
			j.say(OK, CodeClientAuth, text, "")
		}
	}
	switch {
	case !p.AsksClient:
		note("not asked", "")
	case p.Presented != nil && p.Accepted:
		note("accepted", "it accepts the client certificate "+called(p.Presented))
	case p.Presented != nil:
		j.res.ClientAuth = "refused"
		j.say(Critical, CodeClientAuth, fmt.Sprintf("it refuses the client certificate %s (%s)", called(p.Presented), p.Refusal),
			"its CA must be in the tls-ca-cert-file that redis has loaded, and the certificate valid and for clients")
	case p.Accepted:
		note("optional", "it asks for a client certificate and does without (tls-auth-clients optional)")
	default:
		note("required", "it asks for a client certificate and was shown none; with --client-cert and --client-key it is checked whether it accepts yours")
	}
}

// drift judges whether redis has loaded what is on disk.
func (j *judge) drift() {
	if len(j.f.OnDisk) == 0 || j.leaf.Equal(j.f.OnDisk[0]) {
		return
	}
	disk := j.f.OnDisk[0]
	remedy := "make redis load it: CONFIG SET tls-cert-file with the path that it has, or a restart"
	if j.f.Sentinel {
		remedy = "a Sentinel reads its certificate only when it starts: restart its unit, one of a group after the other, when SENTINEL CKQUORUM says that there are enough without it"
	} else if j.w.Loads {
		remedy = "`redis-cert-agent renew` makes redis load it and proves it; `redis-cert-agent status` says why that has not happened"
	}
	j.blame(j.leaf, Warning, CodeDrift, fmt.Sprintf("it is not the one on disk: redis serves serial %s, until %s, and the file holds serial %s, until %s",
		plain.ShortSerial(cert.Serial(j.leaf)), plain.Stamp(j.leaf.NotAfter), plain.ShortSerial(cert.Serial(disk)), plain.Stamp(disk.NotAfter)), remedy)
}

// key judges a private key.
func (j *judge) key(k *Key) {
	path := clean(k.Path)
	switch {
	case errors.Is(k.Err, cert.ErrEncryptedKey):
		j.say(Unknown, CodeUnreadable, "the key "+path+" is encrypted, so that nobody can tell whether it belongs to the certificate", "check it with openssl, or decrypt it and protect it by its mode")
		return
	case errors.Is(k.Err, cert.ErrForeignKey):
		j.say(Unknown, CodeUnreadable, fmt.Sprintf("the key %s: %v", path, k.Err), "see that redis loads it: `openssl pkey -in FILE -noout -check` reads it as redis does")
		return
	case k.Err != nil:
		j.failure(fmt.Errorf("the key %s: %w", path, bare(k.Err)))
		return
	}
	if pub, ok := k.Public.(interface{ Equal(crypto.PublicKey) bool }); ok && j.leaf != nil && j.leaf.PublicKey != nil && !pub.Equal(j.leaf.PublicKey) {
		j.blame(j.leaf, Critical, CodeKeyMismatch, "the key "+path+" does not belong to it: redis does not start with the two, or fails every handshake", "put the key there that it was issued for, or have it issued for this one")
	}
	if mode := k.Mode.Perm(); mode&0o007 != 0 {
		j.say(Warning, CodeKeyOpen, fmt.Sprintf("others may access the key %s (mode %04o)", path, mode), fmt.Sprintf("chmod %04o %s, and renew the certificate with another key if a stranger may have read it", mode&0o770, path))
	}
	if k.WantGroup >= 0 && (k.Mode&0o040 == 0 || k.GID != k.WantGroup) {
		j.say(Warning, CodeKeyClosed, fmt.Sprintf("the key %s (mode %04o, group %d) is not readable for group %d, so that redis may not load it", path, k.Mode.Perm(), k.GID, k.WantGroup), fmt.Sprintf("chgrp %d %s && chmod g+r %[2]s", k.WantGroup, path))
	}
}

// failure judges why there is nothing, or nothing more, to judge.
func (j *judge) failure(err error) {
	text := strings.TrimPrefix(bare(err).Error(), "probe "+j.f.Target+": ")
	var broken *cert.PEMError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		j.say(Critical, CodeMissing, text, "put it there, or name another file")
	case errors.Is(err, fs.ErrPermission):
		j.say(Unknown, CodeUnreadable, text, "run this as a user who may read it, such as root")
	case errors.Is(err, reload.ErrUnable):
		j.say(Warning, CodeUnjudged, text, "see that clients take it: openssl s_client -connect "+j.f.Target)
	case j.f.Kind == Server:
		j.say(Critical, CodeUnreachable, text, "")
	case errors.As(err, &broken):
		j.say(Critical, CodeMalformed, strings.TrimSuffix(text, ": "+broken.Hint), broken.Hint)
	default:
		j.say(Critical, CodeMalformed, text, "put a PEM file there that is whole")
	}
}

// bare is err without the name of the file, which is told already.
func bare(err error) error {
	if path, ok := err.(*fs.PathError); ok {
		return path.Err
	}
	return err
}
