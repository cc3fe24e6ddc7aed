package pair_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
)

// issued stands for what a CA gave.
func issued() *cert.Pair {
	var text [3][]byte
	for i, name := range []string{"redis.crt", "redis.key", "ca.crt"} {
		var err error
		if text[i], err = os.ReadFile(filepath.Join("../cert/testdata", name)); err != nil {
			log.Fatal(err)
		}
	}
	p, err := cert.Parse(text[0], text[1], text[2])
	if err != nil {
		log.Fatal(err)
	}
	return p
}

// A pair comes to disk as a generation of its own, beside the current one. One
// rename makes it current: redis.conf names DIR/current/redis.crt and its
// neighbours, which change all three at once.
func ExampleStore() {
	dir, err := os.MkdirTemp("", "pair")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := pair.Open(pair.Options{Dir: dir, UID: -1, GID: -1, Keep: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	show := func(when string) {
		state, err := store.Load()
		if err != nil {
			log.Fatal(err)
		}
		link, err := os.Readlink(filepath.Join(dir, "current"))
		if err != nil {
			link = "nothing"
		}
		fmt.Printf("%s: %d on disk, current leads to %s\n", when, len(state.All), link)
	}
	generation, err := store.Put(issued(), pair.Origin{Method: "sign", Names: []string{"redis1.internal"}, Time: time.Now()})
	if err != nil {
		log.Fatal(err)
	}
	show("put")
	if err := store.Switch(generation.ID); err != nil {
		log.Fatal(err)
	}
	show("switched")
	// Output:
	// put: 1 on disk, current leads to nothing
	// switched: 1 on disk, current leads to generations/000001
}
