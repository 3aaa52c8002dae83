"""Where answers go: one file or folder for each kind of output, its options with it.

clip          an annotated .avi
jsonl         JSON lines, to a file or a stream
log           events as lines beside answers that go elsewhere
mqtt          a broker, and Home Assistant through it
opening       the table SINKS: which option opens what
recording     a run that can be replayed exactly
systemd       a service manager that wants to know that all is well
terminal      answers and events for a person
threads       a thread and a bounded queue for each sink
uncertain     frames that the model is unsure about, for a person to name
web           a page, streams and figures over HTTP
window        a window

To add a sink: a file or folder here, a row in `opening.SINKS`.
"""
