# Remora: `make help` lists the targets. What a target needs is installed by `make deps`, which demo and test call.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# sudo has a PATH of its own: /opt/swift and /usr/local are looked at, too.
SWIFT := $(firstword $(wildcard $(shell command -v swift) /opt/swift/usr/bin/swift /usr/local/swift/usr/bin/swift))
ifneq ($(SWIFT),)
export PATH := $(PATH):$(dir $(SWIFT))
endif
# The toolchain's own clang has the BPF back end.
CLANG := $(dir $(shell readlink -f "$(SWIFT)"))clang
ARCH_INCLUDE := /usr/include/$(shell uname -m)-linux-gnu
BPF_OBJECTS := .build/bpf/port.bpf.o .build/bpf/proxy.bpf.o .build/bpf/losses.bpf.o
BPF_HEADERS := $(wildcard BPF/lib/*.h BPF/include/remora/*.h)
BPF_FLAGS := -target bpf -mcpu=v3 -O2 -g -std=gnu23 -Wall -Wextra -Wno-unused-parameter -Werror \
	-IBPF -IBPF/include -I$(ARCH_INCLUDE)
REMORA := .build/release/remora
# Swift's own libraries inside: a NIC needs the one file, and Debian's libbpf1, libmnl0, libxml2 and zlib1g.
RELEASE := -c release --static-swift-stdlib
# Whole sections of the package are C or BPF: swift-format looks at Swift alone.
SWIFT_SOURCES := Package.swift Sources Tests
C_SOURCES = $(shell git ls-files 'BPF/*.c' 'BPF/*.h')

.PHONY: help deps clients toolchain bpf build proto check test demo bench bench-verdicts test-kernel fmt clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | column -ts $$'\t'

deps: ## install the Debian packages that building, the demo and the tests need (root)
	@deploy/install-deps.sh

clients: deps ## install the registry clients that the tests run, from PyPI, into .build/lab
	@deploy/install-python.sh

toolchain:
	@[ -n "$(SWIFT)" ] || { echo "no Swift toolchain found: install Swift 6.1 or later and put its" \
		"usr/bin into PATH (with sudo: sudo env PATH=\"\$$PATH\" make ...)" >&2; exit 1; }

.build/bpf/%.bpf.o: BPF/%.bpf.c $(BPF_HEADERS) | toolchain
	@mkdir -p $(@D)
	$(CLANG) $(BPF_FLAGS) -c $< -o $@
	@touch Sources/CBPFObjects/objects.c # SwiftPM does not see what it embeds

bpf: $(BPF_OBJECTS) ## compile the BPF programs

build: toolchain $(BPF_OBJECTS) ## build .build/release/remora
	swift build $(RELEASE) --product remora

# The plugin comes from the checkout that the package is built with, so that generated code and library are of one version.
PROTOBUF := .build/checkouts/swift-protobuf
PROTOC_PLUGIN := .build/protoc-gen-swift/debug/protoc-gen-swift

$(PROTOC_PLUGIN): | toolchain
	swift package resolve
	swift build --package-path $(PROTOBUF) --scratch-path .build/protoc-gen-swift --product protoc-gen-swift

proto: $(PROTOC_PLUGIN) ## generate the Swift of proto/*.proto anew (protobuf-compiler)
	protoc -I proto --plugin=$(PROTOC_PLUGIN) --swift_opt=FileNaming=DropPath --swift_opt=UseAccessLevelOnImports=true \
		--swift_out=Sources/Registries/Generated proto/*.proto

check: toolchain ## format, warnings, imports between rooms: quick, changes nothing
	@.ci/check

test: deps clients build ## every test; without root it says what it skips
	@.ci/test

demo: deps build ## the main job, end to end, in a lab of its own (root)
	swift build $(RELEASE) --product remora-demo
	.build/release/remora-demo --remora $(REMORA) $(DEMO)

bench: deps build ## what it costs, against the bare bridge and nftables and by the packet, and how well it judges (root)
	swift build $(RELEASE) --product remora-bench-lab
	mkdir -p bench-results
	$(REMORA) bench -o json > bench-results/cost.json
	.build/release/remora-bench-lab --remora $(REMORA) $(BENCH)
	.build/release/remora-bench-lab verdicts --remora $(REMORA) $(VERDICTS)

bench-verdicts: deps build ## the last part of bench: who is judged a VM, who a container, and how soon (root)
	swift build $(RELEASE) --product remora-bench-lab
	.build/release/remora-bench-lab verdicts --remora $(REMORA) $(VERDICTS)

test-kernel: build ## the agent on another kernel, in QEMU: make test-kernel PACKAGES="linux-image-....deb linux-modules-....deb"
	Tests/Kernels/run.sh $(REMORA) $(PACKAGES)

fmt: ## format Swift and C in place
	swift format --in-place --recursive --parallel $(SWIFT_SOURCES)
	clang-format -i $(C_SOURCES)

clean: ## remove what was built
	rm -rf .build bench-results
