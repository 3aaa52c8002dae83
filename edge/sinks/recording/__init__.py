"""edge.sinks.recording"""
