// Sbom writes the bill of materials of a Go binary, which is in the binary itself: the
// toolchain and every module that was linked, with version and checksum.
//
//	sbom -name redis-cert-agent -version 1.2.3 -o DIR BINARY
//
// DIR gets NAME.spdx.json (SPDX 2.3) and NAME.cdx.json (CycloneDX 1.5). The same binary
// gives the same bytes: the time is that of SOURCE_DATE_EPOCH
// (https://reproducible-builds.org/specs/source-date-epoch/).
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	name := flag.String("name", "", "of the program")
	version := flag.String("version", "", "of the program")
	out := flag.String("o", ".", "directory")
	flag.Parse()
	if *name == "" || *version == "" || flag.NArg() != 1 {
		log.Fatal("usage: sbom -name NAME -version VERSION [-o DIR] BINARY")
	}
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		log.Fatal("SOURCE_DATE_EPOCH: ", err)
	}
	b, err := read(flag.Arg(0), *name, *version, time.Unix(epoch, 0))
	if err != nil {
		log.Fatal(err)
	}
	for ending, document := range map[string]any{".spdx.json": b.spdx(), ".cdx.json": b.cycloneDX()} {
		text, err := json.MarshalIndent(document, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(*out, *name+ending), append(text, '\n'), 0o644)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}

// A bill says what a program was made of.
type bill struct {
	name, version string
	created       string // RFC 3339
	sum           string // SHA-256 of the binary, hex
	modules       []module
}

// A module is one that was linked. The Go toolchain with its library is the first.
type module struct{ path, version, sum string }

func read(path, name, version string, at time.Time) (*bill, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	b := &bill{name: name, version: version, created: at.UTC().Format(time.RFC3339), sum: hex.EncodeToString(sum[:])}
	b.modules = append(b.modules, module{path: "stdlib", version: strings.TrimPrefix(info.GoVersion, "go")})
	for _, m := range info.Deps {
		b.modules = append(b.modules, linked(m))
	}
	return b, nil
}

func linked(m *debug.Module) module {
	if m.Replace != nil {
		m = m.Replace
	}
	return module{m.Path, m.Version, m.Sum}
}

// purl is the package URL of a module (https://github.com/package-url/purl-spec).
func (m module) purl() string {
	return "pkg:golang/" + strings.ToLower(m.path) + "@" + url.PathEscape(m.version)
}

type object = map[string]any

func (b *bill) spdx() object {
	const own = "SPDXRef-Program"
	packages := []object{{
		"SPDXID": own, "name": b.name, "versionInfo": b.version, "downloadLocation": "NOASSERTION",
		"filesAnalyzed": false, "licenseDeclared": "Apache-2.0", "primaryPackagePurpose": "APPLICATION",
		"checksums": []object{{"algorithm": "SHA256", "checksumValue": b.sum}},
	}}
	relationships := []object{{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": own}}
	for i, m := range b.modules {
		id := fmt.Sprintf("SPDXRef-Module-%d", i)
		p := object{
			"SPDXID": id, "name": m.path, "versionInfo": m.version, "downloadLocation": "NOASSERTION",
			"filesAnalyzed": false, "primaryPackagePurpose": "LIBRARY",
			"externalRefs": []object{{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": m.purl()}},
		}
		if m.sum != "" {
			p["comment"] = "go.sum " + m.sum
		}
		packages = append(packages, p)
		relationships = append(relationships, object{"spdxElementId": own, "relationshipType": "CONTAINS", "relatedSpdxElement": id})
	}
	return object{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": b.name + "-" + b.version,
		"documentNamespace": "https://redis-cert-agent.example/spdx/" + b.name + "-" + b.sum,
		"creationInfo":      object{"created": b.created, "creators": []string{"Tool: redis-cert-agent/packaging/sbom"}},
		"packages":          packages, "relationships": relationships,
	}
}

func (b *bill) cycloneDX() object {
	own := "pkg:generic/" + b.name + "@" + url.PathEscape(b.version)
	components := make([]object, len(b.modules))
	refs := make([]string, len(b.modules))
	for i, m := range b.modules {
		refs[i] = m.purl()
		components[i] = object{"type": "library", "bom-ref": refs[i], "name": m.path, "version": m.version, "purl": refs[i]}
		if m.sum != "" {
			components[i]["properties"] = []object{{"name": "go:sum", "value": m.sum}}
		}
	}
	return object{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "serialNumber": "urn:uuid:" + uuid(b.sum),
		"metadata": object{"timestamp": b.created, "component": object{
			"type": "application", "bom-ref": own, "name": b.name, "version": b.version, "purl": own,
			"licenses": []object{{"license": object{"id": "Apache-2.0"}}}, "hashes": []object{{"alg": "SHA-256", "content": b.sum}},
		}},
		"components":   components,
		"dependencies": []object{{"ref": own, "dependsOn": refs}},
	}
}

// uuid makes one of a checksum, of version 8 (RFC 9562, 5.8): what it is made of is ours.
func uuid(sum string) string {
	return sum[:8] + "-" + sum[8:12] + "-8" + sum[13:16] + "-8" + sum[17:20] + "-" + sum[20:32]
}
