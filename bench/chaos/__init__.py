"""The breaking bench: faults under load, and an oracle that shares no code with the product.

`make chaos-quick` runs every scenario in its small size, `make chaos` in its full one and writes
`docs/explanation/evidence.md`; `python -m bench.chaos kill-sqlite --size pr` runs one.

The oracle is four files that are only ever appended to, and a checker:

- the ledger (`client.py`): a line for each message whose 202 was read whole;
- the sink (`sink.py`, a process of its own): a line for each arrival, before it is answered;
- the journal (`journal.py`): a line for each fault, with its time and the process it hit;
- the log (`log_reader.py`): what the product's API says in the end;
- the checker (`checker.py`): compares the sets, and prints one line of JSON.

To add a scenario: write one file with

    async def my_fault(stage: Stage, size: Size) -> Row: ...

and add one line to `SCENARIOS` in `__main__.py` (and its name to `tests/chaos/test_chaos.py`, when
its small size belongs into `make test`). The stage (`stage.py`) gives it a directory of its own,
the sink, the journal, products (`product.py`: start, stop, kill -9, freeze), a load client, and
`verdict`, which settles, reads the log and runs the checker. A `Row` (`scenario.py`) begins with
what the checker found; a scenario adds its own `figures` and, where something is wrong, a sentence
to `failures`: a row without failures has passed. What this machine cannot do is `CannotRun`, with
the reason in words; a time is a figure, never a failure.

Nothing here imports `almenara`, but the launchers (`*_launcher.py`), which break it on purpose;
`tests/test_house_rules.py` holds that.
"""
