package acme

import (
	"context"
	"fmt"
	"os"

	"github.com/miekg/dns"
)

// hookArg makes the test's program a hook: PROGRAM hookArg SERVER present|cleanup NAME VALUE.
const hookArg = "act-as-dns-hook"

// hook changes the test's name server as an operator's command would.
func hook(args []string) int {
	if len(args) != 4 {
		fmt.Printf("called with %q\n", args)
		return 2
	}
	if v := os.Getenv("NOTIFY_SOCKET"); v != "" {
		fmt.Println("NOTIFY_SOCKET leaked: " + v)
		return 3
	}
	p := &updateProof{d: DNS01Update{KeyName: tsigName}, server: args[0], secret: tsigSecret}
	change := (*dns.Msg).Insert
	if args[1] == "cleanup" {
		change = (*dns.Msg).Remove
	}
	if err := p.update(context.Background(), record{place{args[2], "internal."}, args[3]}, change); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
