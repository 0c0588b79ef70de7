# Millrace. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
SHIMS   := kafka-server-start kafka-server-stop kafka-topics kafka-console-producer kafka-console-consumer kafka-get-offsets kafka-dump-log \
           kafka-configs kafka-client-metrics kafka-consumer-groups kafka-groups kafka-delete-records \
           kafka-leader-election kafka-log-dirs kafka-reassign-partitions kafka-cluster kafka-broker-api-versions kafka-features kafka-metadata-quorum \
           kafka-producer-perf-test kafka-consumer-perf-test kafka-e2e-latency
ZK_SHIMS := zkServer zkServer-initialize zkCleanup zkSnapShotToolkit zkTxnLogToolkit zkCli

TOTALS    := bin/test-totals
GOTEST    := $(GO) run ./tools/gotest -totals $(TOTALS)
UNIT      = $$($(GO) list ./... | grep -v '/conformance/')
CRASH_ROUNDS ?= 20
SUITE_TIMEOUT ?= 20m
FUZZTIME     ?= 20s
BENCHTIME    ?= 1s

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.PHONY: build
build: ## bin/millrace (one static binary), bin/kafka-*.sh and bin/zk*.sh
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/millrace ./cmd/millrace
	@for s in $(SHIMS); do install -m 755 tools/shim/shim.sh bin/$$s.sh; done
	@for s in $(ZK_SHIMS); do install -m 755 tools/shim/zkshim.sh bin/$$s.sh; done

.PHONY: run
run: build ## start a broker on 127.0.0.1:9092 with its data in ./data
	@exec bin/millrace server

.PHONY: install
install: build ## copy bin/, config/ and the systemd unit to PREFIX (default /opt/kafka)
	install -d $(PREFIX)/bin $(PREFIX)/config $(PREFIX)/systemd
	install -m 755 bin/millrace bin/*.sh $(PREFIX)/bin/
	test -e $(PREFIX)/config/server.properties || install -m 644 tools/config/server.properties $(PREFIX)/config/
	install -m 644 tools/systemd/*.service $(PREFIX)/systemd/
PREFIX ?= /opt/kafka

.PHONY: install-quorum
install-quorum: build ## the same for a server of the quorum: bin/, conf/ and the unit to ZK_PREFIX (default /opt/zookeeper)
	install -d $(ZK_PREFIX)/bin $(ZK_PREFIX)/conf $(ZK_PREFIX)/systemd
	install -m 755 bin/millrace bin/zk*.sh $(ZK_PREFIX)/bin/
	install -m 644 tools/config/zoo.cfg $(ZK_PREFIX)/conf/zoo_sample.cfg
	test -e $(ZK_PREFIX)/conf/zoo.cfg || install -m 644 tools/config/zoo.cfg $(ZK_PREFIX)/conf/
	install -m 644 tools/systemd/zookeeper-server.service tools/systemd/millrace-quorum.service $(ZK_PREFIX)/systemd/
ZK_PREFIX ?= /opt/zookeeper

# ---- tests

.PHONY: test
test: setup build ## everything that proves it, set-up included (what .ci/run calls)
	@rm -f $(TOTALS)
	@status=0; \
	for step in lint test-unit test-conformance test-quorum test-clients test-franz; do \
	  echo "== $$step ($$(date -u +%H:%M:%S))"; \
	  ZOOKEEPER_REQUIRED=1 $(MAKE) --no-print-directory $$step || status=1; \
	done; \
	$(GO) run ./tools/gotest -report $(TOTALS) || status=1; \
	exit $$status

.PHONY: setup
setup: ## what the tests need besides Go (apt-get when root, npm; a browser where it can)
	@tools/setup.sh

.PHONY: test-unit
test-unit: ## the packages' own tests with the race detector, allocation limits without it
	@mkdir -p bin
	@$(GOTEST) -name unit -- -race -timeout 15m $(UNIT)
	@$(GOTEST) -name allocations -- -count=1 -run 'Alloc|TakesNoMemory' ./broker/... ./engine/... ./protocol/... ./record/... ./replication/... ./segment/... \
	  ./bench/hist ./bench/pace ./bench/raw ./bench/wire ./bench/workload

.PHONY: test-seeded
test-seeded: ## each bug that is seeded by build tag must be caught (part of test-unit too)
	@mkdir -p bin
	@$(GOTEST) -name seeded -- -count=1 -run '^TestSeeded' -timeout 10m ./engine/... ./segment/... ./quorum/... ./conformance/...

.PHONY: test-conformance
test-conformance: build ## kill -9 rounds, power cuts and retention against the real binary
	@CRASH_ROUNDS=$(CRASH_ROUNDS) MILLRACE_BIN=$(CURDIR)/bin/millrace $(GOTEST) -name conformance -- -count=1 -timeout $(SUITE_TIMEOUT) \
	  $$($(GO) list ./conformance/... | grep -v /conformance/quorum/)

.PHONY: test-quorum
test-quorum: build ## the quorum beside Apache ZooKeeper: random scripts, clients of others, go-zookeeper's own tests
	@MILLRACE_BIN=$(CURDIR)/bin/millrace $(GOTEST) -name quorum -- -count=1 -timeout 10m ./conformance/quorum/...
	@# Its launcher takes ports from 6,000 at random, and two of its servers may get the same ones: it draws the same ones in each run.
	@GODEBUG=randautoseed=0 ZK_VERSION=3.8.0 ZOOKEEPER_BIN_PATH=$(CURDIR)/bin $(GOTEST) -name go-zookeeper -- -count=1 -timeout 8m github.com/go-zookeeper/zk

.PHONY: test-clients
test-clients: setup build ## clients that others wrote, against the real binary (their own module, cgo)
	@MILLRACE_BIN=$(CURDIR)/bin/millrace CGO_ENABLED=1 $(GOTEST) -name clients -dir conformance/clients -- -count=1 -timeout 15m -parallel 5 ./...

# The suite's ETL tests move FRANZ_RECORDS records through chains of groups (upstream: 500,000).
FRANZ_RECORDS ?= 50000
.PHONY: test-franz
test-franz: build ## franz-go's own tests of its client, against the real binary; without those that use transactions
	@mkdir -p bin
	@$(GO) build -o bin/withbroker ./conformance/withbroker
	@MILLRACE_BIN=$(CURDIR)/bin/millrace KGO_LOG_LEVEL=none KGO_TEST_RF=1 KGO_TEST_RECORDS=$(FRANZ_RECORDS) \
	  bin/withbroker -config group.initial.rebalance.delay.ms=0 -config offsets.topic.num.partitions=5 -- \
	  $(GOTEST) -name franz-go -dir conformance/clients -- -count=1 -timeout 8m -skip '^TestTxnEtl$$' github.com/twmb/franz-go/pkg/kgo

.PHONY: race
race: ## all tests of the root module with the race detector
	$(GO) test -race ./...

.PHONY: short
short: ## quick tests only
	$(GO) test -short $(UNIT)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (20s)
	@tools/fuzz.sh $(FUZZTIME)

.PHONY: soak
soak: build ## hours: 500 kill -9 rounds, long random runs, five minutes for each fuzz target
	COMPACT_ROUNDS=500 REPLACE_ROUNDS=500 GROUP_ROUNDS=20000 CONSUMER_ROUNDS=4000 ASSIGNOR_ROUNDS=20000 $(GO) test -count=1 -timeout 6h -run 'Model|Replace|Random|Schedule' \
	  ./engine ./segment ./coordinator/...
	RAFTLOG_ROUNDS=5000 SIM_ROUNDS=3000 $(GO) test -count=1 -timeout 6h -run 'Random|Faults' ./quorum/raftlog ./quorum/sim
	DIFF_SCRIPTS=1000 KILL_ROUNDS=50 PROXY_ROUNDS=200 MILLRACE_BIN=$(CURDIR)/bin/millrace $(GO) test -count=1 -timeout 6h ./conformance/quorum/...
	POWERCUT_SEEDS=3000 $(MAKE) test-conformance CRASH_ROUNDS=500 SUITE_TIMEOUT=6h
	$(MAKE) fuzz FUZZTIME=5m

# ---- measurements: close other programs first; docs/perf.md has ours, bench/baselines older ones

BENCH_OUT := bin/bench
FLAME     ?= ^produce 1KiB p1 acks=1 batch=64KiB$$

.PHONY: bench
bench: build ## the short suite beside the machine's floor (4 minutes); report in bin/bench/
	@mkdir -p $(BENCH_OUT)
	@bin/millrace bench suite --short --json $(BENCH_OUT)/short.json --html $(BENCH_OUT)/short.html

# A JVM warms up, so the first pair of each load does not count. ZOOKEEPER runs one server of it.
ZOOKEEPER ?= java -Xmx1g -cp /usr/share/java/zookeeper.jar:/usr/share/java/servlet-api.jar:/usr/share/java/slf4j-simple.jar org.apache.zookeeper.server.quorum.QuorumPeerMain {cfg}
.PHONY: bench-quorum
bench-quorum: build ## our quorum and Apache ZooKeeper (Debian's package) in turns, three servers each
	@mkdir -p $(BENCH_OUT)
	@bin/millrace bench quorum --discard 1 --b-name ZooKeeper --b-command '$(ZOOKEEPER)' --json $(BENCH_OUT)/quorum.json --html $(BENCH_OUT)/quorum.html

.PHONY: bench-suite
bench-suite: build ## the full suite with growth curves (half an hour, 40 GB of disk)
	@mkdir -p $(BENCH_OUT)
	@bin/millrace bench suite --json $(BENCH_OUT)/suite.json --html $(BENCH_OUT)/suite.html

.PHONY: bench-limits
bench-limits: build ## what bare system calls cost on this machine
	@mkdir -p $(BENCH_OUT)
	@bin/millrace bench limits --json $(BENCH_OUT)/limits.json

.PHONY: bench-compare
bench-compare: ## this folder against REF=<commit>: Go benchmarks by benchstat, then brokers in turns
	@test -n "$(REF)" || { echo 'which commit? make bench-compare REF=HEAD~1'; exit 1; }
	@GO=$(GO) bench/compare/builds.sh '$(REF)' $(CURDIR)/$(BENCH_OUT)/compare

.PHONY: bench-go
bench-go: ## Go benchmarks of all packages (BENCHTIME=1s)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -timeout 60m $(UNIT)

.PHONY: flame
flame: build ## flame graphs of the broker under the main load (FLAME=<scenario>): bin/bench/flame.svg
	@mkdir -p $(BENCH_OUT)
	@bin/millrace bench suite --run '$(FLAME)' --warmup 2s --duration 10s --flame $(BENCH_OUT)/flame.svg --profile-out $(BENCH_OUT)/flame.pb.gz

.PHONY: cover
cover: ## coverage of the packages' own tests
	$(GO) test -coverprofile cover.out $(UNIT)
	@$(GO) tool cover -func cover.out | tail -1

.PHONY: lint
lint: ## gofmt, go vet, shell syntax
	@bad=$$(gofmt -l $$(git ls-files '*.go' | grep -v node_modules)); test -z "$$bad" || { echo "gofmt: $$bad"; exit 1; }
	@$(GO) vet ./...
	@for s in $$(git ls-files '*.sh') .ci/run; do sh -n $$s; done

# ---- what is generated

.PHONY: gen
gen: ## wire codecs and the documentation of the settings
	$(GO) generate ./...

.PHONY: gen-check
gen-check: gen ## fails when what is generated is not what is committed
	@git diff --exit-code --stat -- protocol docs

.PHONY: docs
docs: gen ## docs/config.md and docs/protocol, then a server for the package documentation
	@echo "docs/ is up to date. Package documentation: go doc -http ./engine"

.PHONY: clean
clean: ## remove what was built
	rm -rf bin cover.out
