package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// streamOutcome is the line of JSON that every driver of streams prints. It repeats bench/src/streams.rs.
type streamOutcome struct {
	Client          string  `json:"client"`
	Runtime         string  `json:"runtime"`
	Kind            string  `json:"kind"`
	Count           int     `json:"count"`
	SetupMs         float64 `json:"setup_ms"`
	KibEach         float64 `json:"kib_each"`
	Events          uint64  `json:"events"`
	CPUUsPerEvent   float64 `json:"cpu_us_per_event"`
	EventsPerSecond float64 `json:"events_per_second"`
	Lost            uint64  `json:"lost"`
}

// tally is what the readers of all streams count.
type tally struct {
	target uint64
	events atomic.Uint64
	lost   atomic.Uint64
	done   chan struct{}
}

func (t *tally) add(events int) {
	if t.events.Add(uint64(events)) == t.target {
		close(t.done)
	}
}

func watchKey(number int) string { return fmt.Sprintf("w%07d", number) }

func rssKib() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib
		}
	}
	return 0
}

func runStreams(args []string) error {
	flags := flag.NewFlagSet("streams", flag.ContinueOnError)
	client := flags.String("client", "go", "the name to report")
	flags.String("runtime", "", "ignored: there is one")
	kind := flags.String("kind", "watch", "watch or lease")
	count := flags.Int("count", 1000, "how many")
	events := flags.Uint64("events", 200000, "how many events the watches get")
	seconds := flags.Float64("seconds", 15, "how long to measure leases")
	warmup := flags.Float64("warmup", 6, "how long to hold them before that")
	endpoint := flags.String("endpoints", "127.0.0.1:2379", "host:port of the server")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := cli.Get(ctx, watchKey(0)); err != nil {
		return err
	}
	shared := &tally{target: *events, done: make(chan struct{})}
	rss, began := rssKib(), time.Now()
	switch *kind {
	case "watch":
		watchAll(ctx, cli, *count, shared)
	case "lease":
		if err := keepAll(ctx, cli, *count, shared); err != nil {
			return err
		}
	default:
		return fmt.Errorf("-kind %s: neither watch nor lease", *kind)
	}
	setup := time.Since(began)
	kib := (rssKib() - rss) / float64(*count)

	var got uint64
	var cpu, elapsed time.Duration
	if *kind == "watch" {
		began, before := time.Now(), processCPU()
		cli.Watch(ctx, fmt.Sprintf("start-%d", *events))
		select {
		case <-shared.done:
		case <-time.After(time.Minute):
			return fmt.Errorf("%d of %d events came", shared.events.Load(), *events)
		}
		cpu, elapsed, got = processCPU()-before, time.Since(began), shared.events.Load()
	} else {
		time.Sleep(time.Duration(*warmup * float64(time.Second)))
		first, err := renewals(ctx, cli)
		if err != nil {
			return err
		}
		began, before := time.Now(), processCPU()
		time.Sleep(time.Duration(*seconds * float64(time.Second)))
		cpu, elapsed = processCPU()-before, time.Since(began)
		last, err := renewals(ctx, cli)
		if err != nil {
			return err
		}
		got = last - first
	}
	return json.NewEncoder(os.Stdout).Encode(streamOutcome{
		Client:          *client,
		Runtime:         "go",
		Kind:            *kind,
		Count:           *count,
		SetupMs:         setup.Seconds() * 1e3,
		KibEach:         kib,
		Events:          got,
		CPUUsPerEvent:   cpu.Seconds() * 1e6 / float64(max(got, 1)),
		EventsPerSecond: float64(got) / elapsed.Seconds(),
		Lost:            shared.lost.Load(),
	})
}

// watchAll makes each watch in a goroutine of its own, which then reads it.
func watchAll(ctx context.Context, cli *clientv3.Client, count int, shared *tally) {
	var created sync.WaitGroup
	created.Add(count)
	for number := range count {
		go func() {
			responses := cli.Watch(ctx, watchKey(number), clientv3.WithCreatedNotify())
			for response := range responses {
				if response.Created {
					created.Done()
					continue
				}
				shared.add(len(response.Events))
			}
			shared.lost.Add(1)
		}()
	}
	created.Wait()
}

// keepAll keeps each lease alive, and reads its renewals in a goroutine of its own.
func keepAll(ctx context.Context, cli *clientv3.Client, count int, shared *tally) error {
	var renewed sync.WaitGroup
	renewed.Add(count)
	for number := range count {
		renewals, err := cli.KeepAlive(ctx, clientv3.LeaseID(number+1))
		if err != nil {
			return err
		}
		go func() {
			first := true
			for range renewals {
				if first {
					renewed.Done()
					first = false
				}
			}
			shared.lost.Add(1)
		}()
	}
	renewed.Wait()
	return nil
}

// renewals asks the null server how many it has answered.
func renewals(ctx context.Context, cli *clientv3.Client) (uint64, error) {
	answer, err := cli.TimeToLive(ctx, 1)
	if err != nil {
		return 0, err
	}
	return uint64(answer.GrantedTTL), nil
}
