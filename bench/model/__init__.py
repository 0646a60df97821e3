"""A discrete-event simulation of a run, and what it is fed with and checked against.

`python -m bench.model` is the command; `machine` holds what messages and hand-outs cost, measured
by `probes` on the machine at hand; `work` what chunks and rows cost, from the run.json of a real
run; `passes` and `job` simulate; `checks` compares with real and with sleeping runs.
"""
