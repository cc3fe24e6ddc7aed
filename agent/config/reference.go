package config

// A Field is one key of the configuration file, for the manual.
type Field struct {
	Key     string // its path: "servers[].timeout"
	Default string // what holds without it, in words or as YAML; empty: it is required within its mapping
	Example string // a value, as YAML
	Meaning string // a sentence, without a full stop
	Restart bool   // a change needs a restart; else a reload takes it
}

// MinimalACME is the shortest useful configuration file for an ACME CA. The
// host must answer at port 80 of its name.
const MinimalACME = `issuer:
  acme:
    directory: https://ca.internal:9000/acme/acme/directory
names: [redis1.internal]
servers: [127.0.0.1:6379]
`

// Minimal is the shortest useful configuration file.
const Minimal = `issuer:
  step:
    url: https://ca.internal:9000
    fingerprint: 0d7d3834cf187726cf331c40a31aa7ef6b29ba4df601416c9788f6ee01058cf3
    provisioner: redis
names: [redis1.internal]
servers: [127.0.0.1:6379]
`

// Reference tells every key of the configuration file, in the order of the
// manual.
func Reference() []Field {
	return reference("", new(Config).keys())
}

func reference(prefix string, keys []key) []Field {
	var all []Field
	for _, k := range keys {
		path := child(prefix, k.name)
		if k.meaning != "" {
			all = append(all, Field{Key: path, Default: k.without, Example: k.example, Meaning: k.meaning, Restart: k.restart})
		}
		if k.list {
			path += "[]"
		}
		all = append(all, reference(path, k.below)...)
	}
	return all
}
