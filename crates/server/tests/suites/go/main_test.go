// Package clientv3_test has what the examples of etcd's Go client expect around them: endpoints, and the decision to run.
//
// The examples themselves are taken from the module go.etcd.io/etcd/tests/v3 by `cargo xtask suites`.
package clientv3_test

import (
	"os"
	"strings"
	"time"
)

const (
	dialTimeout    = 5 * time.Second
	requestTimeout = 10 * time.Second
)

func exampleEndpoints() []string { return strings.Split(os.Getenv("ETCD_ENDPOINTS"), ",") }

func forUnitTestsRunInMockedContext(_ func(), example func()) { example() }
