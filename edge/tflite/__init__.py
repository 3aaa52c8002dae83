"""The file format: flatbuffers and the zip behind them. Knows nothing of Flora.

anatomy       operators, tensors, multiply-adds of a flatbuffer, told without running it
archive       the zip that may follow a flatbuffer, taken apart with suspicion
flatbuffer    a flatbuffer read by field number, whatever its bytes
runtimes      which runtime has which operators; runtimes.json, measured by tests/making/probe_runtimes.py
soundness     does every offset stay within the file?

To add a runtime: measure it with tests/making/probe_runtimes.py, which writes runtimes.json.
"""
