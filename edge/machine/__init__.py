"""edge.machine"""
