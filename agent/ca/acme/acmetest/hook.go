package acmetest

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/miekg/dns"
)

// Hook acts as an operator's command for dns-01, with the arguments SERVER
// present|cleanup NAME VALUE. It changes a [Nameserver] of the zone internal, and
// returns an exit code.
func Hook(args []string) int {
	if len(args) != 4 {
		fmt.Printf("called with %q\n", args)
		return 2
	}
	if v := os.Getenv("NOTIFY_SOCKET"); v != "" {
		fmt.Println("NOTIFY_SOCKET leaked: " + v)
		return 3
	}
	if err := change(args[0], args[1] == "cleanup", args[2], args[3]); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func change(server string, remove bool, name, value string) error {
	m := new(dns.Msg).SetUpdate("internal.")
	record := []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 1},
		Txt: []string{value},
	}}
	if remove {
		m.Remove(record)
	} else {
		m.Insert(record)
	}
	m.SetTsig(TSIGName, dns.HmacSHA256, 300, time.Now().Unix())
	client := dns.Client{Net: "tcp", TsigSecret: map[string]string{TSIGName: TSIGSecret}}
	reply, _, err := client.Exchange(m, server)
	if err == nil && reply.Rcode != dns.RcodeSuccess {
		err = errors.New(dns.RcodeToString[reply.Rcode])
	}
	return err
}
