"""edge.sinks.mqtt"""
