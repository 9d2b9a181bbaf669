// Command etcdkit-bench-go puts etcd's own Go client under the same closed loop as every other client.
//
// It repeats bench/src/load.rs and bench/src/histogram.rs: the flags, the phases, what is counted and
// the line of JSON are the same. Change one, change the other.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
)

// How long workers may take to end their last operation before they are counted as hung.
const drain = 5 * time.Second

const (
	steps   = 64
	octaves = 40
)

// histogram counts nanoseconds in buckets that are at most 1.6 % wide.
type histogram struct {
	buckets [octaves * steps]atomic.Uint64
	max     atomic.Uint64
}

func bucketOf(nanos uint64) int {
	shift := max(bits.Len64(nanos)-bits.Len64(steps), 0)
	return shift*steps + int(nanos>>shift)
}

func startOf(bucket int) uint64 {
	shift := max(bucket/steps-1, 0)
	return uint64(bucket-shift*steps) << shift
}

func (h *histogram) record(nanos uint64) {
	h.buckets[min(bucketOf(nanos), len(h.buckets)-1)].Add(1)
	for seen := h.max.Load(); nanos > seen; seen = h.max.Load() {
		if h.max.CompareAndSwap(seen, nanos) {
			break
		}
	}
}

func (h *histogram) count() (total uint64) {
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	return total
}

func (h *histogram) quantile(share float64) uint64 {
	rank := max(uint64(math.Ceil(float64(h.count())*share)), 1)
	var seen uint64
	for i := range h.buckets {
		if seen += h.buckets[i].Load(); seen >= rank {
			return startOf(i)
		}
	}
	return 0
}

// outcome is the line of JSON that every driver prints.
type outcome struct {
	Client       string  `json:"client"`
	Runtime      string  `json:"runtime"`
	Op           string  `json:"op"`
	Concurrency  int     `json:"concurrency"`
	ValueSize    int     `json:"value_size"`
	Seconds      float64 `json:"seconds"`
	Ops          uint64  `json:"ops"`
	Errors       uint64  `json:"errors"`
	Hung         int64   `json:"hung"`
	CPUUsPerOp   float64 `json:"cpu_us_per_op"`
	OpsPerSecond float64 `json:"ops_per_second"`
	P50Us        float64 `json:"p50_us"`
	P99Us        float64 `json:"p99_us"`
	MaxUs        float64 `json:"max_us"`
	PeakRSSMiB   float64 `json:"peak_rss_mib"`
	FirstError   *string `json:"first_error"`
}

const (
	warming = iota
	measuring
	stopping
)

// board is what the workers share.
type board struct {
	phase      atomic.Uint32
	latencies  histogram
	errors     atomic.Uint64
	firstError atomic.Pointer[string]
	running    atomic.Int64
}

func (b *board) work(op func(number int) error, number int) {
	for b.phase.Load() != stopping {
		began := time.Now()
		err := op(number)
		took := time.Since(began)
		number++
		switch {
		case err != nil:
			b.errors.Add(1)
			text := err.Error()
			b.firstError.CompareAndSwap(nil, &text)
		case b.phase.Load() == measuring:
			b.latencies.record(uint64(took))
		}
	}
}

// processCPU is the CPU time that this process has used so far, by the clock that the Rust drivers read.
func processCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

func peakRSSMiB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kib, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib / 1024
		}
	}
	return 0
}

func run() error {
	client := flag.String("client", "go", "the name to report")
	flag.String("runtime", "", "ignored: there is one")
	op := flag.String("op", "put", "put or get")
	concurrency := flag.Int("concurrency", 1, "workers")
	seconds := flag.Float64("seconds", 1, "how long to measure")
	warmup := flag.Float64("warmup", 0.3, "how long to run before that")
	endpoints := flag.String("endpoints", "127.0.0.1:2379", "host:port of each member")
	valueSize := flag.Int("value-size", 256, "bytes of each put value")
	keyCount := flag.Int("keys", 1000, "how many different keys")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("expected a flag, found %q", flag.Arg(0))
	}

	cli, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(*endpoints, ",")})
	if err != nil {
		return err
	}
	keys := make([]string, max(*keyCount, 1))
	for i := range keys {
		keys[i] = fmt.Sprintf("%08d", i)
	}
	value := strings.Repeat("v", *valueSize)
	ctx := context.Background()
	var do func(number int) error
	switch *op {
	case "put":
		do = func(number int) error {
			_, err := cli.Put(ctx, keys[number%len(keys)], value)
			return err
		}
	case "get":
		do = func(number int) error {
			response, err := cli.Get(ctx, keys[number%len(keys)])
			if err == nil && len(response.Kvs) != 1 {
				return errors.New("not exactly one key in a get's answer")
			}
			return err
		}
	default:
		return fmt.Errorf("-op %s: neither put nor get", *op)
	}
	// The Rust drivers open their connection before the load begins; here the first call does.
	if err := do(0); err != nil {
		return err
	}

	shared := new(board)
	var workers sync.WaitGroup
	for worker := range *concurrency {
		shared.running.Add(1)
		workers.Go(func() {
			defer shared.running.Add(-1)
			shared.work(do, worker*7919)
		})
	}
	time.Sleep(time.Duration(*warmup * float64(time.Second)))
	began, cpuBefore := time.Now(), processCPU()
	shared.phase.Store(measuring)
	time.Sleep(time.Duration(*seconds * float64(time.Second)))
	shared.phase.Store(stopping)
	cpu, elapsed := processCPU()-cpuBefore, time.Since(began)

	drained := make(chan struct{})
	go func() {
		workers.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drain):
	}

	ops := shared.latencies.count()
	micros := func(nanos uint64) float64 { return float64(nanos) / 1e3 }
	return json.NewEncoder(os.Stdout).Encode(outcome{
		Client:       *client,
		Runtime:      "go",
		Op:           *op,
		Concurrency:  *concurrency,
		ValueSize:    *valueSize,
		Seconds:      elapsed.Seconds(),
		Ops:          ops,
		Errors:       shared.errors.Load(),
		Hung:         shared.running.Load(),
		CPUUsPerOp:   cpu.Seconds() * 1e6 / float64(max(ops, 1)),
		OpsPerSecond: float64(ops) / elapsed.Seconds(),
		P50Us:        micros(shared.latencies.quantile(0.5)),
		P99Us:        micros(shared.latencies.quantile(0.99)),
		MaxUs:        micros(shared.latencies.max.Load()),
		PeakRSSMiB:   peakRSSMiB(),
		FirstError:   shared.firstError.Load(),
	})
}

func main() {
	measure := run
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "streams":
			measure = func() error { return runStreams(os.Args[2:]) }
		case "recipes":
			measure = func() error { return runRecipes(os.Args[2:]) }
		}
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
