package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

// recipeOutcome is the line of JSON that every driver of recipes prints. It repeats bench/src/recipes/mod.rs.
type recipeOutcome struct {
	Client     string   `json:"client"`
	Kind       string   `json:"kind"`
	Rounds     uint64   `json:"rounds"`
	Attempts   uint64   `json:"attempts"`
	Fenced     uint64   `json:"fenced"`
	Errors     uint64   `json:"errors"`
	FirstError string   `json:"first_error"`
	Violations []string `json:"violations"`
	Items      []string `json:"items"`
	Seconds    float64  `json:"seconds"`
}

// recipes is what the workers of one process share.
type recipes struct {
	cli      *clientv3.Client
	name     string
	kind     string
	rounds   uint64
	ttl      int
	accounts int

	lock    sync.Mutex
	outcome recipeOutcome
}

func (r *recipes) add(change func(outcome *recipeOutcome)) {
	r.lock.Lock()
	defer r.lock.Unlock()
	change(&r.outcome)
}

func (r *recipes) failed(err error) {
	r.add(func(outcome *recipeOutcome) {
		outcome.Errors++
		if outcome.FirstError == "" {
			outcome.FirstError = err.Error()
		}
	})
}

func (r *recipes) violated(format string, args ...any) {
	r.add(func(outcome *recipeOutcome) {
		outcome.Violations = append(outcome.Violations, fmt.Sprintf(format, args...))
	})
}

// beside is a place for what belongs to a name and is not to be found by its prefix: Go's queues take all of that.
func (r *recipes) beside(what string) string { return what + "/" + r.name }

// held is the condition that a lock is held, by the key and the revision that prove it.
func held(key string, token int64) clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(key), "=", token)
}

// read reads the register under a lock: its count, its last token and its revision. Not if the lock is lost.
func (r *recipes) read(key string, token int64, more ...clientv3.Op) (count uint64, last, at int64, ok bool, err error) {
	ops := append([]clientv3.Op{clientv3.OpGet(r.beside("register"))}, more...)
	answer, err := r.cli.Txn(context.Background()).If(held(key, token)).Then(ops...).Commit()
	if err != nil || !answer.Succeeded {
		return 0, 0, 0, false, err
	}
	kv := answer.Responses[0].GetResponseRange().Kvs[0]
	_, err = fmt.Sscanf(string(kv.Value), "%d %d", &count, &last)
	return count, last, kv.ModRevision, true, err
}

// inside does what only one may do at a time: it reads the register, and writes it as if nobody else could have. True
// when there is nothing left to do.
func (r *recipes) inside(key string, token int64) (bool, error) {
	count, last, before, ok, err := r.read(key, token)
	if err != nil {
		return false, err
	}
	if !ok {
		r.add(func(outcome *recipeOutcome) { outcome.Fenced++ })
		return false, nil
	}
	if last > token {
		r.violated("token %d holds after token %d", token, last)
	}
	if count >= r.rounds {
		return true, nil
	}
	put := clientv3.OpPut(r.beside("register"), fmt.Sprintf("%d %d", count+1, token))
	_, _, now, ok, err := r.read(key, token, put)
	switch {
	case err != nil:
		return false, err
	case !ok:
		r.add(func(outcome *recipeOutcome) { outcome.Fenced++ })
	case now != before:
		r.violated("two hold: token %d read revision %d, and found %d when it wrote", token, before, now)
	default:
		r.add(func(outcome *recipeOutcome) { outcome.Rounds++ })
	}
	return count+1 >= r.rounds, nil
}

// twice reads the register twice, as one of many readers: nobody may write in between.
func (r *recipes) twice(key string, token int64) (bool, error) {
	count, _, before, ok, err := r.read(key, token)
	if err != nil || !ok {
		return false, err
	}
	_, _, now, ok, err := r.read(key, token)
	if err != nil || !ok {
		return false, err
	}
	if now != before {
		r.violated("a reader saw a writer: revision %d, then %d", before, now)
	}
	return count >= r.rounds, nil
}

// proof is the key of a session under a prefix: the recipes do not show theirs.
func (r *recipes) proof(session *concurrency.Session, prefix string) (string, int64, error) {
	answer, err := r.cli.Get(context.Background(), prefix, clientv3.WithPrefix())
	if err != nil {
		return "", 0, err
	}
	for _, kv := range answer.Kvs {
		if kv.Lease == int64(session.Lease()) {
			return string(kv.Key), kv.CreateRevision, nil
		}
	}
	return "", 0, errors.New("the key is gone")
}

func (r *recipes) round(session *concurrency.Session, number int) (bool, error) {
	ctx := session.Ctx()
	switch r.kind {
	case "mutex":
		mutex := concurrency.NewMutex(session, r.name)
		if err := mutex.Lock(ctx); err != nil {
			return false, err
		}
		defer mutex.Unlock(context.Background())
		answer, err := r.cli.Get(ctx, mutex.Key())
		if err != nil || len(answer.Kvs) == 0 {
			return false, err
		}
		return r.inside(mutex.Key(), answer.Kvs[0].CreateRevision)
	case "rwmutex":
		mutex := recipe.NewRWMutex(session, r.name)
		if number%3 == 0 {
			if err := mutex.Lock(); err != nil {
				return false, err
			}
			defer mutex.Unlock()
			key, token, err := r.proof(session, r.name+"/write/")
			if err != nil {
				return false, err
			}
			return r.inside(key, token)
		}
		if err := mutex.RLock(); err != nil {
			return false, err
		}
		defer mutex.RUnlock()
		key, token, err := r.proof(session, r.name+"/read/")
		if err != nil {
			return false, err
		}
		return r.twice(key, token)
	case "election":
		election := concurrency.NewElection(session, r.name)
		if err := election.Campaign(ctx, "go"); err != nil {
			return false, err
		}
		defer election.Resign(context.Background())
		return r.inside(election.Key(), election.Rev())
	}
	return false, fmt.Errorf("-kind %s: nobody contends for that", r.kind)
}

// contend holds the lock again and again, with another session whenever one is lost.
func (r *recipes) contend() {
	for {
		session, err := concurrency.NewSession(r.cli, concurrency.WithTTL(r.ttl))
		if err != nil {
			r.failed(err)
			continue
		}
		// Whoever stops processes wants to know whose a key is.
		owner := fmt.Sprintf("%s/%x", r.beside("sessions"), session.Lease())
		r.cli.Put(context.Background(), owner, strconv.Itoa(os.Getpid()), clientv3.WithLease(session.Lease()))
		for number, alive := 0, true; alive; number++ {
			done, err := r.round(session, number)
			if err != nil {
				r.failed(err)
			}
			if done {
				session.Close()
				return
			}
			select {
			case <-session.Done():
				alive = false
			default:
			}
		}
	}
}

const last = "last"

// work takes part in a queue: it adds its share, and takes until it gets an item that says that it is the last.
func (r *recipes) work(worker int) {
	queue := recipe.NewQueue(r.cli, r.name)
	var adding sync.WaitGroup
	adding.Go(func() {
		for number := range r.rounds {
			item := fmt.Sprintf("go-%d-%d-%d", os.Getpid(), worker, number)
			if err := queue.Enqueue(item); err != nil {
				r.failed(err)
			}
		}
		// Whoever keeps the books counts these.
		r.cli.Put(context.Background(), fmt.Sprintf("%s/go-%d-%d", r.beside("added"), os.Getpid(), worker), "")
	})
	defer adding.Wait()
	for {
		item, err := queue.Dequeue()
		if err != nil {
			r.failed(err)
			continue
		}
		if item == last {
			return
		}
		r.add(func(outcome *recipeOutcome) { outcome.Items = append(outcome.Items, item); outcome.Rounds++ })
	}
}

func (r *recipes) transfer() {
	account := func() string { return fmt.Sprintf("%s/%03d", r.name, rand.IntN(r.accounts)) }
	for range r.rounds {
		from, to, amount := account(), account(), rand.IntN(10)
		if from == to {
			continue
		}
		_, err := concurrency.NewSTM(r.cli, func(stm concurrency.STM) error {
			r.add(func(outcome *recipeOutcome) { outcome.Attempts++ })
			has, err := strconv.Atoi(stm.Get(from))
			if err != nil {
				return err
			}
			gets, err := strconv.Atoi(stm.Get(to))
			if err != nil || has < amount {
				return err
			}
			stm.Put(from, strconv.Itoa(has-amount))
			stm.Put(to, strconv.Itoa(gets+amount))
			return nil
		})
		if err != nil {
			r.failed(err)
			continue
		}
		r.add(func(outcome *recipeOutcome) { outcome.Rounds++ })
	}
}

// lockAndUnlock does nothing else, with one session.
func (r *recipes) lockAndUnlock() error {
	session, err := concurrency.NewSession(r.cli, concurrency.WithTTL(60))
	if err != nil {
		return err
	}
	defer session.Close()
	mutex := concurrency.NewMutex(session, r.name)
	ctx := context.Background()
	for range r.rounds {
		if err := mutex.Lock(ctx); err != nil {
			return err
		}
		if err := mutex.Unlock(ctx); err != nil {
			return err
		}
		r.add(func(outcome *recipeOutcome) { outcome.Rounds++ })
	}
	return nil
}

func (r *recipes) mirror() error {
	syncer := mirror.NewSyncer(r.cli, r.name, 0)
	answers, failures := syncer.SyncBase(context.Background())
	for answer := range answers {
		r.outcome.Rounds += uint64(len(answer.Kvs))
	}
	return <-failures
}

// endpoints offers one, and tells all that there are.
func (r *recipes) endpoints() error {
	manager, err := endpoints.NewManager(r.cli, r.name)
	if err != nil {
		return err
	}
	ctx := context.Background()
	offered := endpoints.Endpoint{Addr: "10.0.0.1:80", Metadata: []string{"from", "go"}}
	if err := manager.AddEndpoint(ctx, r.name+"/go", offered); err != nil {
		return err
	}
	all, err := manager.List(ctx)
	if err != nil {
		return err
	}
	for key, endpoint := range all {
		r.outcome.Items = append(r.outcome.Items, fmt.Sprintf("%s %s %v", key, endpoint.Addr, endpoint.Metadata))
	}
	return nil
}

func runRecipes(args []string) error {
	flags := flag.NewFlagSet("recipes", flag.ContinueOnError)
	client := flags.String("client", "go", "the name to report")
	kind := flags.String("kind", "mutex", "mutex, rwmutex, election, queue, bank, lock, mirror or endpoints")
	name := flags.String("name", "recipes", "what is contended for")
	workers := flags.Int("workers", 1, "how many take part")
	rounds := flags.Uint64("rounds", 1000, "how many rounds, of all together where they are counted in the store")
	ttl := flags.Int("ttl", 60, "seconds that a session lives without a sign of life")
	accounts := flags.Int("accounts", 100, "of a bank")
	endpoints := flags.String("endpoints", "127.0.0.1:2379", "host:port of each member")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cli, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(*endpoints, ",")})
	if err != nil {
		return err
	}
	// The Rust drivers open their connection before the work begins; here the first call does.
	if _, err := cli.Get(context.Background(), *name); err != nil {
		return err
	}
	r := &recipes{cli: cli, name: *name, kind: *kind, rounds: *rounds, ttl: *ttl, accounts: *accounts}
	r.outcome = recipeOutcome{Client: *client, Kind: *kind, Violations: []string{}, Items: []string{}}
	began := time.Now()
	var work sync.WaitGroup
	for worker := range *workers {
		work.Go(func() {
			switch *kind {
			case "queue":
				r.work(worker)
			case "bank":
				r.transfer()
			case "lock":
				if err := r.lockAndUnlock(); err != nil {
					r.failed(err)
				}
			case "endpoints":
				if err := r.endpoints(); err != nil {
					r.failed(err)
				}
			case "mirror":
				if err := r.mirror(); err != nil {
					r.failed(err)
				}
			default:
				r.contend()
			}
		})
	}
	work.Wait()
	r.outcome.Seconds = time.Since(began).Seconds()
	return json.NewEncoder(os.Stdout).Encode(r.outcome)
}
