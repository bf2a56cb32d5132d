#!/usr/bin/env bash
# Makes the Python environments under .build/lab whose clients the network tests run against registries, from PyPI, at
# the versions that Tests/Lab/clients pins. Where that fails, the tests that need them are skipped and say so.
set -euo pipefail
cd "$(dirname "$0")/.."

install() { # ENVIRONMENT LIST
	local environment=.build/lab/$1 list=Tests/Lab/clients/$2
	! cmp -s "$list" "$environment/complete" || return 0
	echo "installing from PyPI into $environment: $list"
	rm -rf "$environment"
	mkdir -p .build/lab
	if /usr/bin/python3 -m venv "$environment" &&
		"$environment/bin/pip" install -q --no-input --disable-pip-version-check --retries 1 --timeout 20 -r "$list"; then
		cp "$list" "$environment/complete"
	else
		echo "not installed: tests that need $list will be skipped" >&2
	fi
}

install python requirements.txt
install python-nacos3 requirements-nacos3.txt
