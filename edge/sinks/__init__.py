"""edge.sinks"""
