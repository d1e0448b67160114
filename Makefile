# Two commands: `make rehearse` moves the sample service under load, `make test` passes the tests.  Both set up what is missing.
PY := .venv/bin/python

.PHONY: rehearse drill clean-rehearsal test check bench docs prove lock venv clients ready

ready:
	@scripts/prepare

venv:
	@scripts/prepare venv

clients:
	@scripts/prepare clients

rehearse: ready
	@$(PY) examples/bookshop/rehearse.py $(if $(KEEP),--keep)

drill: venv  # after `make rehearse KEEP=1`
	@$(PY) examples/bookshop/drill.py

clean-rehearsal: venv
	@if docker info >/dev/null 2>&1; then $(PY) examples/bookshop/rehearse.py --clean; fi
	@scripts/prepare stop-engine

check: venv
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@scripts/measure --check

test: ready check clients
	@$(PY) scripts/suite

bench: ready
	@PYTHONPATH=. $(PY) benchmarks/start_cost.py
	@PYTHONPATH=. $(PY) benchmarks/crontab.py
	@PYTHONPATH=. $(PY) benchmarks/jobs.py
	@PYTHONPATH=. $(PY) benchmarks/logs.py
	@PYTHONPATH=. $(PY) benchmarks/capacity.py
	@PYTHONPATH=. $(PY) benchmarks/load_engine.py
	@PYTHONPATH=. $(PY) benchmarks/logs_copy.py
	@PYTHONPATH=. $(PY) benchmarks/start_time.py
	@PYTHONPATH=. $(PY) benchmarks/deploy.py
	@PYTHONPATH=. $(PY) benchmarks/describe_tasks.py
	@PYTHONPATH=. $(PY) benchmarks/replay.py
	@PYTHONPATH=. $(PY) benchmarks/exposure.py
	@PYTHONPATH=. $(PY) benchmarks/ladder.py
	@PYTHONPATH=. $(PY) benchmarks/false_alarms.py
	@PYTHONPATH=. $(PY) benchmarks/realistic.py --runs 8 --long-bake 2h --hours 12
	@PYTHONPATH=. $(PY) benchmarks/idle.py
	@PYTHONPATH=. $(PY) benchmarks/zero_loss.py
	@PYTHONPATH=. $(PY) benchmarks/storm.py

docs: venv  # the docs as a site with search, in build/site: no request to other hosts
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build
	@echo "build/site: look at it with $(PY) -m http.server -b 127.0.0.1 -d build/site"

prove: ready clients
	@scripts/prepare browser
	@$(PY) -m pytest -m prove -s --timeout 3000 tests

lock:  # after a change of the ranges in pyproject.toml; needs pip-tools
	pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras --allow-unsafe \
	  --no-header --extra ecspresso --extra local --extra sql --extra logs --extra parquet --extra scale --extra capacity --extra drill --extra lint --extra web --extra lint --extra docs --extra dev \
	  -o requirements/dev.txt pyproject.toml
	cd tests/clients && pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --strip-extras \
	  --allow-unsafe --no-header -o requirements.txt requirements.in
	for set in more former; do (cd tests/clients/$$set && pip-compile -q --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --strip-extras --allow-unsafe --no-header -o requirements.txt requirements.in); done
	cd tests/clients && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
