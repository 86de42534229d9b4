# What the README promises, as commands. Each target installs nothing but Rust crates; what needs root or a
# program that is not here says so and is skipped.

CARGO ?= cargo
BIN := target/debug

.PHONY: crds demo test sigterms test-upgrade outage soak sim floods fuzz scorecard lint bench bench-peers bench-k8s bench-plane instructions profile decisions build test-differential test-real h2spec k8s-up test-k8s k8s-down help

help: ## Show this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 14

build: ## Build the programs
	@$(CARGO) build --quiet -p weft-control-plane -p weft-proxy -p weft-cni -p weft-meshctl --bins

demo: build ## A control plane, three services with sidecars, real traffic, a live table
	@$(BIN)/meshctl demo $(DEMO)

test: build ## Every test that needs no root; what needs it runs where it is there
	@$(CARGO) test --workspace --quiet

sim: ## The mesh on a network that does not exist: SEEDS=n of each scenario (1000), SCENARIO=word, SEED=n repeats one
	@SEEDS=$(or $(SEEDS),1000) $(if $(SEED),SEED=$(SEED)) $(CARGO) test --quiet --profile sim -p weft-tests --test sim -- $(SCENARIO) --show-output

test-differential: ## What is passed on, as up to nine servers read it; installs them where that is possible
	@tests/h1/servers/install.sh
	@$(CARGO) test --quiet -p weft-tests --test h1 -- --show-output read_alike

test-real: build ## Programs of other people under the mesh, WORD picks some; installs them where that is possible
	@tests/real/run $(WORD)

sigterms: build ## A thousand sidecars told to go under load (COUNT=n), a quarter of an hour; no request may fail
	@SIGTERMS=$(or $(COUNT),1000) $(CARGO) test --quiet -p weft-tests --test faults -- sigterm --show-output

test-upgrade: build ## Sidecars and control plane of the version before (REVISION, else what tests/faults/before says) beside this one's, under load
	@tests/faults/upgrade

outage: build ## The control plane away for an hour (SECONDS=n) under load; no request may fail
	@OUTAGE=$(or $(SECONDS),3600) $(CARGO) test --quiet -p weft-tests --test faults -- alone --show-output

soak: ## Idle connections (CONNECTIONS=50000, or as many as there are descriptors for), then an hour of traffic (SECONDS=n)
	@$(CARGO) build --quiet --release -p weft-proxy
	@PROGRAMS=$(CURDIR)/target/release SOAK=$(or $(SECONDS),3600) CONNECTIONS=$(or $(CONNECTIONS),50000) $(CARGO) test --quiet -p weft-tests --test faults -- soak --show-output

floods: ## What floods of HTTP/2 cost, and what a bystander sees of them: with a release build, on a quiet machine
	@$(CARGO) build --quiet --release -p weft-proxy
	@PROGRAMS=$(CURDIR)/target/release $(CARGO) test --quiet -p weft-tests --test h2 -- every_flood --show-output

h2spec: build ## An outside conformance suite of HTTP/2, 20 runs (RUNS=n); needs Go, to build it once
	@tests/h2/h2spec.sh $(RUNS)

k8s-up: ## A real Kubernetes of one node, in namespaces of its own (root; builds it once, a quarter of an hour or more)
	@tests/k8s/up

test-k8s: build ## What Weft needs of a cluster, asked of the real one; starts it where it is not up (root, programs cached)
	@tests/k8s/test $(WORD)

k8s-down: ## Ends what k8s-up began
	@tests/k8s/down

fuzz: ## Every law on whatever a peer can send, SECONDS each (60) under libFuzzer; WORD picks some by name
	@tests/fuzz/run $(or $(SECONDS),60) $(WORD)

scorecard: build ## What is promised about hostile input, row by row, with the figures of the suites that prove it
	@$(CARGO) run --quiet -p weft-tests --bin scorecard -- $(ROWS)

crds: ## The CustomResourceDefinitions of the chart, from the Rust types
	@WRITE_CRDS=1 $(CARGO) test --quiet -p weft-manifests --lib the_files_of_the_chart

lint: ## Format, lints, documentation
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --quiet -- --deny warnings
	@RUSTDOCFLAGS="--deny warnings --allow rustdoc::private-intra-doc-links" $(CARGO) doc --workspace --no-deps --document-private-items --quiet

bench: ## What a decision costs (criterion), and the whole path against direct and two Envoys
	@$(CARGO) bench -p weft-benches
	@SCENARIOS=mesh-h1-1k,mesh-h1-alone,idle-memory,loaded-memory PEERS=weft,envoy,direct benches/mesh/run

bench-peers: ## Weft beside Envoy, HAProxy, nginx and no proxy, in turns; SCENARIOS, PEERS, SECONDS_EACH, RUNS pick a part
	@benches/mesh/run

bench-k8s: ## The mesh on a real Kubernetes: injection, pod starts, 1000 Services, from a write to a call (root; PROGRAMS=folder)
	@benches/k8s/run

bench-plane: ## The control plane under 10 000 posing proxies: a restart, propagation (SECONDS=n), some that do not read; WHAT picks
	@benches/plane/run $(or $(WHAT),restart propagation stopped)

instructions: ## Instructions a request, by whose code they are, counted by callgrind: the same on a busy machine
	@benches/instructions/run

profile: ## Flame graphs of the mesh path in target/profile, user space and kernel, by perf; whose share is how large
	@benches/profile/run

decisions: ## Instructions of a decision and of an update against what is written down; fails beyond 3 % (WRITE=1 writes)
	@benches/decisions/run
