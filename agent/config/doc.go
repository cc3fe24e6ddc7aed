// Package config loads and checks the configuration of the agent.
//
// A file is read strictly: an unknown or repeated key, a value of the wrong
// type, a missing value or one that cannot work is refused. All faults are
// told at once, each in one line with file, line, field, value and what to
// write instead:
//
//	config.yaml:12: servers[1].timeout: "5 sec" is not a duration; write it like 5s, 2m, 24h or 7d
//
// Durations are those of Go, and days: 5s, 2m, 24h, 7d. Secrets never stand in
// the file; it says where they are. They are checked when it is loaded and
// read when they are used, so that a password changed in its file takes effect
// by itself.
//
// # The shortest file
//
//	issuer:
//	  step:
//	    url: https://ca.internal:9000
//	    fingerprint: 0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3
//	    provisioner: redis
//	names: [redis1.internal]
//	servers: [127.0.0.1:6379]
//
// The password of the provisioner comes from the systemd credential
// provisioner-password, as LoadCredential= in the unit sets it.
//
// # ACME, and more than one issuer
//
// Any CA that speaks ACME (RFC 8555) needs its directory:
//
//	issuer:
//	  acme:
//	    directory: https://ca.internal:9000/acme/acme/directory
//	names: [redis1.internal]
//	servers: [127.0.0.1:6379]
//
// A list of issuers is asked in its order, the second when the first fails:
//
//	issuer:
//	  - step:
//	      url: https://ca.internal:9000
//	      fingerprint: 0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3
//	      provisioner: redis
//	  - acme:
//	      directory: https://acme.example.com/directory
//	      contact: [ops@example.com]
//	      terms_accepted: true
//	      challenge:
//	        dns-01:
//	          server: 10.0.0.53:53
//	          zone: internal
//	          tsig_name: redis1-key
//	          tsig_secret_file: credential:acme-tsig
//
// A fault in the second one is told as issuer[1].acme.directory.
package config
