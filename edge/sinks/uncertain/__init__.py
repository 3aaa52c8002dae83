"""edge.sinks.uncertain"""
