package cert_test

import (
	"fmt"
	"log"
	"os"
	"time"

	"redis-cert-agent/agent/cert"
)

// What a CA gave, or what stands on disk, is first made one value, which fails
// unless the key is that of the certificate. A Need then says everything that
// keeps clients from accepting it.
func ExampleNeed() {
	var text [3][]byte
	for i, name := range []string{"redis.crt", "redis.key", "ca.crt"} {
		var err error
		if text[i], err = os.ReadFile("testdata/" + name); err != nil {
			log.Fatal(err)
		}
	}
	pair, err := cert.Parse(text[0], text[1], text[2])
	if err != nil {
		log.Fatal(err)
	}

	november := time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC)
	need := cert.Need{Names: []string{"redis1.internal"}, Roots: pair.CA}
	fmt.Println("now:", need.Check(pair, november))
	fmt.Println("later:", need.Check(pair, november.AddDate(0, 1, 0)))

	need.Names = append(need.Names, "10.0.0.5")
	need.KeyType = cert.RSA2048
	fmt.Println("for more:", need.Check(pair, november))
	// Output:
	// now: <nil>
	// later: it expired at 2026-12-01T00:00:00Z
	// for more: it is not for 10.0.0.5, only for redis1.internal; its key is ec-p256, not rsa-2048
}
