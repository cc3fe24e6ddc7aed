package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

type options struct {
	out       string
	redis     string
	rounds    int
	rotations int
	idle      time.Duration
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

type quietLog struct{}

func (quietLog) Printf(context.Context, string, ...any) {}

func main() {
	var o options
	flag.StringVar(&o.redis, "redis", "redis-server", "")
	flag.IntVar(&o.rounds, "rounds", 150, "")
	flag.Parse()
	redis.SetLogger(quietLog{})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := newBench(ctx, o)
	if err == nil {
		var r rotation
		r, err = b.measureRotation(ctx)
		fmt.Printf("%+v %v\n", r, r.ratio())
	}
	b.close(err)
	fmt.Println(err)
}
