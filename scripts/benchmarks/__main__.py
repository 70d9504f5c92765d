"""Run a benchmark: `python -m scripts.benchmarks NAME [options]`."""

import sys

from scripts.benchmarks.harness import run_benchmark

if __name__ == "__main__":
    sys.exit(run_benchmark(sys.argv[1], sys.argv[2:]))
