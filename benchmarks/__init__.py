"""Benchmarks. Each module has a ``run() -> dict``; ``python -m benchmarks NAME...`` writes ``results/NAME.json``.

Timings are medians, and everything that is compared is measured alternately in one run: other work on the machine then
disturbs both alike. Nothing here is a test.

Adding a benchmark: write ``benchmarks/<name>.py`` with ``run``, and list it in `__main__.BENCHMARKS`.
"""
